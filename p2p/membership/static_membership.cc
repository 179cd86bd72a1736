#include "p2p/membership.h"
#include "p2p/membership/address.h"
#include "p2p/membership/view_publisher.h"

namespace oxbow::p2p {
namespace {

/// The list of the config: one view, pushed from within `start`.
class StaticMembership final : public Membership {
 public:
  explicit StaticMembership(StaticOptions options) : options_(std::move(options)) {}

  Result<> start(OnView on_view) override {
    if (options_.peers.size() > kMaxMembers)
      return fail(Errc::kInvalid, fmt::format("more than {} peers", kMaxMembers));
    auto peers = options_.peers;
    for (const auto& peer : peers) {
      if (auto checked = check_address(peer); !checked) return std::unexpected(std::move(checked.error()).in("peers"));
    }
    std::ranges::sort(peers);
    peers.erase(std::ranges::unique(peers).begin(), peers.end());
    MembershipView view;
    for (auto& peer : peers) {
      Member member;
      member.addresses.push_back(std::move(peer));
      view.members.push_back(std::move(member));
    }
    on_view(std::move(view));
    return {};
  }

  void stop() override {}
  std::string_view provider() const noexcept override { return "static"; }
  std::string trouble() const override { return {}; }

 private:
  const StaticOptions options_;
};

}  // namespace

std::unique_ptr<Membership> make_static_membership(StaticOptions options) {
  return std::make_unique<StaticMembership>(std::move(options));
}

}  // namespace oxbow::p2p

// The clock: certificates and tokens are judged by it. Compared with what registries and peers say the time is.
#include <fmt/format.h>

#include <algorithm>

#include "mirror/doctor/checks.h"

namespace oxbow::mirror::doctor {
namespace {

using std::chrono::seconds;
constexpr seconds kWarnAt{30};
constexpr seconds kFailAt{300};
constexpr const char* kFix = "timedatectl set-ntp true; timedatectl status   (or: chronyc tracking)";

struct Source {
  std::string who;
  seconds ahead{0};  ///< of this clock, before theirs
};

std::optional<Source> source_of(const std::string& who, const HttpReply& reply) {
  if (!reply.answered() || !reply.date) return std::nullopt;
  return Source{who, reply.at - *reply.date};
}

std::vector<Source> sources_of(const Subject& subject) {
  std::vector<Source> out;
  for (const auto& facts : subject.network.upstreams) {
    for (const auto& reply : facts.urls) {
      if (auto source = source_of(facts.registry->name, reply)) out.push_back(std::move(*source));
    }
  }
  for (const auto& peer : subject.network.peers) {
    if (auto source = source_of("peer " + (peer.name.empty() ? peer.address : peer.name), peer.reply))
      out.push_back(std::move(*source));
  }
  std::ranges::sort(out, {}, &Source::ahead);
  return out;
}

std::string said(seconds ahead) { return human_time(ahead) + (ahead > seconds(0) ? " ahead" : " behind"); }

/// Whether it is right.
bool look_at_own(const std::vector<Source>& sources, Findings& out) {
  const auto& middle = sources[sources.size() / 2];
  const auto off = std::chrono::abs(middle.ahead);
  const auto text = sources.size() == 1 ? fmt::format("this clock is {} of {}'s", said(middle.ahead), middle.who)
                                        : fmt::format("this clock is {} of the middle one of {} others",
                                                      said(middle.ahead), sources.size());
  if (off >= kFailAt)
    out.fail("clock.wrong", text, "Certificates and tokens look expired, or not valid yet: pulls and peers fail.",
             kFix);
  else if (off >= kWarnAt)
    out.warn("clock.off", text, "Tokens end too early or too late; more, and certificates fail too.", kFix);
  else
    out.ok("clock.right", fmt::format("agrees with {} other{}", sources.size(), sources.size() == 1 ? "" : "s"));
  return off < kWarnAt;
}

/// One that differs from the others' middle is wrong itself.
void look_at_others(const std::vector<Source>& sources, Findings& out) {
  if (sources.size() < 3) return;
  const auto middle = sources[sources.size() / 2].ahead;
  for (const auto& source : sources) {
    if (std::chrono::abs(source.ahead - middle) < kWarnAt) continue;
    out.warn(
        "clock.other", fmt::format("the clock of {} is {} of the others'", source.who, said(middle - source.ahead)),
        "It may refuse this node's certificate, and this node its.", "set the time there: timedatectl set-ntp true");
  }
}

}  // namespace

void check_clock(const Subject& subject, Findings& out) {
  const auto sources = sources_of(subject);
  bool right = false;
  if (sources.empty()) {
    out.skipped("clock.alone", "no registry and no peer said what the time is");
  } else {
    right = look_at_own(sources, out);
    look_at_others(sources, out);
  }
  const auto kept = subject.system.clock_is_kept();
  // In a container or a virtual machine the host may keep it, unknown to this kernel: then it is right.
  if (kept && !*kept && !right) {
    out.warn("clock.unkept", "no time service keeps this clock (the kernel says: not synchronised)",
             "It drifts until certificates and tokens fail.", "timedatectl set-ntp true   (or install chrony)");
  }
}

}  // namespace oxbow::mirror::doctor

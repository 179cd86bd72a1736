// What all providers do with what they have learnt: push a view only when it differs from the last one, keep count, and
// tell what is wrong, part by part (an etcd provider can read while it cannot register).
// Thread rule: any thread; `publish` from one thread at a time, and the callback runs on it. Lifetime: of its provider.
#pragma once

#include <map>
#include <mutex>
#include <optional>
#include <set>

#include "p2p/membership.h"

namespace oxbow::p2p {

/// More is refused and the last view kept: a wrong source must not fill the memory of every node.
inline constexpr std::size_t kMaxMembers = 65'536;

class ViewPublisher {
 public:
  ViewPublisher(std::string provider, MetricsRegistry& metrics);

  /// Before the first `publish`, and never while one runs.
  void set_callback(Membership::OnView on_view) { on_view_ = std::move(on_view); }
  /// The source has answered. Order does not matter: views are sorted by name, then by address.
  void publish(std::vector<Member> members);
  /// `part` works (again).
  void well(std::string_view part);
  /// `part` fails. One warning for each text until it works again, not one for each attempt.
  void failed(std::string_view part, const Error& error);
  std::string trouble() const;

 private:
  const std::string provider_;
  Counter& updates_;
  Counter& errors_;
  Counter& too_large_;
  Gauge& last_update_seconds_;
  Membership::OnView on_view_;
  std::optional<std::vector<Member>> last_;

  mutable std::mutex mutex_;
  struct Trouble {
    std::string text;
    std::set<std::string> warned;
  };
  std::map<std::string, Trouble, std::less<>> troubles_;  ///< by part
};

}  // namespace oxbow::p2p

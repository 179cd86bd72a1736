#include "p2p/membership/kube_own_node.h"

#include "core/encoding.h"
#include "core/log.h"
#include "p2p/membership/kube_json.h"
#include "p2p/membership/kube_members.h"

namespace oxbow::p2p {
namespace {

constexpr std::chrono::milliseconds kLookEvery{3'600'000};
constexpr std::chrono::milliseconds kFirstPause{500};
constexpr std::chrono::milliseconds kLastPause{60'000};

}  // namespace

KubeOwnNode::KubeOwnNode(const KubernetesOptions& options, std::string name, OnLocation on_location)
    : path_("/api/v1/nodes/" + percent_encode(name)),
      name_(std::move(name)),
      labels_(options.location_labels),
      on_location_(std::move(on_location)),
      client_(options, &thread_),
      backoff_(kFirstPause, kLastPause) {}

void KubeOwnNode::run() {
  while (thread_.wait(look())) {
  }
}

std::chrono::milliseconds KubeOwnNode::look() {
  const auto answer = client_.call({.path = path_});
  const auto labels = answer ? kube::parse_labels(*answer) : std::unexpected(answer.error());
  if (labels) {
    backoff_.reset();
    said_ = false;
    on_location_(kube::location_of(*labels, labels_));
    return kLookEvery;
  }
  if (thread_.stopping()) return kLookEvery;
  const auto code = labels.error().code();
  const bool final = code == Errc::kDenied || code == Errc::kNotFound;
  if (final && !std::exchange(said_, true))
    log::info("the labels of this node are not to be had; its zone is taken from EndpointSlices",
              {{"node", name_}, log::Field(labels.error())});
  return final ? kLookEvery : backoff_.next();
}

}  // namespace oxbow::p2p

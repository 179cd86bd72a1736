// The objects of the Kubernetes API that we use, as JSON: EndpointSlices (discovery.k8s.io/v1), ConfigMaps, the labels
// of a Node, lists, events of a watch, and Status, in which the API server says what is wrong. Format: the Kubernetes
// API reference, "API concepts" for lists and watches.
// Thread rule: pure functions. Errors of the parsers: kUnavailable (not what an API server says), and where it says so
// itself: kUnauthorized, kDenied, kNotFound, kBusy (a conflict), kOutOfRange (a resourceVersion that is gone or not
// there yet: read again), kThrottled, kInvalid, kLimit.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/error.h"

namespace oxbow::p2p::kube {

/// Opaque: sent back as it came.
using ResourceVersion = std::string;

struct Endpoint {
  std::string address;
  std::string node = {};  ///< empty: the API server does not say
  std::string zone = {};
  bool terminating = false;
  bool serving = false;  ///< the API server says that it answers, also while it is terminating
};
struct Port {
  std::string name;
  std::uint16_t number = 0;
};
struct Slice {
  std::vector<Endpoint> endpoints;
  std::vector<Port> ports;
};
struct ConfigMap {
  std::map<std::string, std::string> data;
};
struct Object {
  std::string name;
  ResourceVersion version;
  std::variant<Slice, ConfigMap> content;
};
struct List {
  ResourceVersion version;
  std::vector<Object> objects;
};
enum class EventType : std::uint8_t { kChanged, kRemoved, kBookmark };
struct Event {
  EventType type = EventType::kChanged;
  Object object;  ///< of a bookmark: its version only
};

Result<List> parse_list(std::string_view json);
/// An ERROR event is the error that its Status says.
Result<Event> parse_event(std::string_view line);
Result<Object> parse_object(std::string_view json);
/// The labels of a Node; what is not text is left out.
Result<std::map<std::string, std::string>> parse_labels(std::string_view json);
/// An answer that is not 2xx; `json` may be anything.
Error parse_status(long status, std::string_view json);

/// One key of a ConfigMap, as a merge patch that holds only at this version. Errors: kInvalid (not UTF-8).
Result<std::string> patch_request(const std::string& key, const std::string& value, const ResourceVersion& version);
/// A new ConfigMap with one key. Errors: kInvalid (not UTF-8).
Result<std::string> create_request(const std::string& name, const std::string& key, const std::string& value);

}  // namespace oxbow::p2p::kube

// Property: whatever a member file, etcd, a Kubernetes API server or a name server says, the parsers give an error or
// something bounded that is fit for the ring; and what they give is read back as it was.
#include <cmath>
#include <cstdlib>

#include "p2p/cluster_values.h"
#include "p2p/membership/address.h"
#include "p2p/membership/dns_lookup.h"
#include "p2p/membership/etcd_json.h"
#include "p2p/membership/kube_json.h"
#include "p2p/membership/kube_members.h"
#include "p2p/membership/member_format.h"

namespace {

using namespace oxbow::p2p;

void require(bool holds) {
  if (!holds) std::abort();
}

void check_member(const Member& member) {
  require(!member.addresses.empty() && member.addresses.size() <= 16 && member.location.size() <= 8);
  require(std::isfinite(member.weight) && member.weight > 0 && member.weight <= kMaxWeight);
  require(member.protocol_oldest <= member.protocol_newest);
  for (const auto& address : member.addresses) require(check_address(address).has_value());
}

void check_members(std::string_view text) {
  if (const auto members = parse_member_file(text)) {
    for (const auto& member : *members) check_member(member);
  }
  if (const auto member = parse_member(text)) {
    check_member(*member);
    const auto again = parse_member(member_to_json(*member));
    require(again.has_value() && *again == *member);
  }
}

void check_etcd(std::string_view text) {
  if (const auto range = etcd::parse_range(text)) {
    require(range->revision >= 0);
    for (const auto& entry : range->entries) require(!entry.key.empty() && entry.mod_revision >= 0);
  }
  if (const auto answer = etcd::parse_watch(text)) {
    require(answer->revision >= 0 && answer->compact_revision >= 0 && answer->cancel_reason.size() <= 200);
    for (const auto& event : answer->events) require(!event.entry.key.empty() && event.entry.mod_revision >= 0);
  }
  if (const auto lease = etcd::parse_lease(text)) require(lease->id != 0 && lease->ttl_seconds >= 0);
  if (const auto token = etcd::parse_token(text)) require(token->find_first_of("\r\n ") == std::string::npos);
  static_cast<void>(etcd::parse_swap(text));
  for (const unsigned char c : etcd::parse_error(500, text).what()) require(c >= 0x20 && c < 0x7f);
}

void check_kube_object(const kube::Object& object) {
  require(!object.version.empty() && object.version.find_first_of("\r\n ") == std::string::npos);
  const kube::Places places{
      .labels = {"region", std::string(kube::kZoneLabel)}, .self = "n1", .self_location = {"r1", "z1"}};
  for (const auto* port : {"peers", ""}) {
    for (const auto& member : kube::members_of({{object.name, object}}, port, places)) {
      check_member(member);
      require(member.name.size() <= 253 && member.name.find_first_of("\r\n ") == std::string::npos);
    }
  }
}

void check_kube(std::string_view text) {
  if (const auto list = kube::parse_list(text)) {
    require(!list->version.empty());
    for (const auto& object : list->objects) check_kube_object(object);
  }
  if (const auto event = kube::parse_event(text)) {
    require(!event->object.version.empty());
    if (event->type != kube::EventType::kBookmark) check_kube_object(event->object);
  }
  if (const auto object = kube::parse_object(text)) {
    check_kube_object(*object);
    if (const auto* map = std::get_if<kube::ConfigMap>(&object->content)) {
      for (const auto& [key, value] : map->data) require(kube::patch_request(key, value, object->version).has_value());
    }
  }
  if (const auto labels = kube::parse_labels(text)) {
    for (const auto& [key, value] : *labels) require(!value.empty() && value.size() <= 253);
  }
  for (const unsigned char c : kube::parse_status(500, text).what()) require(c >= 0x20 && c < 0x7f);
}

void check_values(std::string_view text) {
  if (const auto settings = parse_settings(text)) {
    const auto again = parse_settings(to_json(*settings));
    require(again && again->epoch == settings->epoch && again->strategy == settings->strategy &&
            again->replicas == settings->replicas && settings->replicas > 0);
  }
  if (const auto revoked = parse_revoked(text)) {
    for (const auto& one : *revoked) require(!one.empty() && one.size() <= 253);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  check_members(text);
  check_etcd(text);
  check_kube(text);
  check_values(text);
  for (const int type : {1, 28, 33}) {
    if (const auto answer = read_dns_answer({data, size}, type, 5051)) {
      for (const auto& address : answer->addresses) require(check_address(address).has_value());
    }
  }
  return 0;
}

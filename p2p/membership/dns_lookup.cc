#include "p2p/membership/dns_lookup.h"

#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <netdb.h>
#include <netinet/in.h>
#include <resolv.h>

#include <charconv>

#include "p2p/membership/address.h"
#include "p2p/membership/view_publisher.h"

namespace oxbow::p2p {
namespace {

constexpr std::size_t kMaxAnswerBytes = 65'536;  // of a DNS message over TCP
constexpr int kRetransmitSeconds = 2;
constexpr int kTries = 2;

void tidy(std::vector<std::string>& addresses) {
  std::ranges::sort(addresses);
  addresses.erase(std::ranges::unique(addresses).begin(), addresses.end());
}

/// An answer that names nobody (a CNAME that leads nowhere, a service that is "not here") is no cluster without
/// members.
Result<DnsAnswer> checked(DnsAnswer answer) {
  if (answer.addresses.empty()) return fail(Errc::kNotFound, "the answer has no such records");
  tidy(answer.addresses);
  return answer;
}

std::optional<std::string> literal(int family, const void* bytes, std::uint16_t port) {
  char text[INET6_ADDRSTRLEN];
  if (inet_ntop(family, bytes, text, sizeof text) == nullptr) return std::nullopt;
  return join_address(text, port);
}

/// The state of one resolver (res_nclose frees what res_ninit took).
class Resolver {
 public:
  Resolver() : ready_(res_ninit(&state_) == 0) {}
  Resolver(const Resolver&) = delete;
  Resolver& operator=(const Resolver&) = delete;
  ~Resolver() {
    if (ready_) res_nclose(&state_);
  }

  Result<> use(const std::string& server);
  Result<DnsAnswer> query(const std::string& name, int type, std::uint16_t port);

 private:
  struct __res_state state_{};
  bool ready_;
};

Result<> Resolver::use(const std::string& server) {
  if (!ready_) return fail(Errc::kUnavailable, "the resolver cannot be set up");
  state_.retrans = kRetransmitSeconds;
  state_.retry = kTries;
  if (server.empty()) return {};
  const auto colon = server.rfind(':');
  sockaddr_in address{};
  address.sin_family = AF_INET;
  unsigned port = 0;
  if (colon != std::string::npos) std::from_chars(server.data() + colon + 1, server.data() + server.size(), port);
  if (port == 0 || port > 65'535 || inet_pton(AF_INET, server.substr(0, colon).c_str(), &address.sin_addr) != 1)
    return fail(Errc::kInvalid, "the DNS server must be IPv4:port");
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  state_.nscount = 1;
  state_.nsaddr_list[0] = address;
  return {};
}

Result<DnsAnswer> Resolver::query(const std::string& name, int type, std::uint16_t port) {
  std::vector<unsigned char> message(kMaxAnswerBytes);
  const int size = res_nquery(&state_, name.c_str(), ns_c_in, type, message.data(), static_cast<int>(message.size()));
  if (size >= 0)
    return read_dns_answer({message.data(), std::min<std::size_t>(static_cast<std::size_t>(size), message.size())},
                           type, port);
  switch (state_.res_h_errno) {
    case HOST_NOT_FOUND:
      return fail(Errc::kNotFound, "there is no such name");
    case NO_DATA:
      return fail(Errc::kNotFound, "the name has no such records");
    default:
      return fail(Errc::kUnavailable, "no name server answers");
  }
}

Result<DnsAnswer> system_addresses(const std::string& name, std::uint16_t port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  if (const int code = getaddrinfo(name.c_str(), nullptr, &hints, &list); code != 0) {
    const bool absent = code == EAI_NONAME || code == EAI_NODATA;
    return fail(absent ? Errc::kNotFound : Errc::kUnavailable, gai_strerror(code));
  }
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owner(list, &freeaddrinfo);
  DnsAnswer answer;
  for (const auto* one = list; one != nullptr; one = one->ai_next) {
    const void* bytes = nullptr;
    if (one->ai_family == AF_INET) bytes = &reinterpret_cast<const sockaddr_in*>(one->ai_addr)->sin_addr;
    if (one->ai_family == AF_INET6) bytes = &reinterpret_cast<const sockaddr_in6*>(one->ai_addr)->sin6_addr;
    if (bytes == nullptr) continue;
    if (auto address = literal(one->ai_family, bytes, port)) answer.addresses.push_back(std::move(*address));
  }
  return checked(std::move(answer));
}

/// A and AAAA from one server. A name that has only one of them is well.
Result<DnsAnswer> both_families(Resolver& resolver, const DnsOptions& options) {
  auto v4 = resolver.query(options.name, ns_t_a, options.port);
  if (!v4 && v4.error().code() != Errc::kNotFound) return v4;
  auto v6 = resolver.query(options.name, ns_t_aaaa, options.port);
  if (!v6 && v6.error().code() != Errc::kNotFound) return v6;
  if (!v4) return v6;
  if (!v6) return v4;
  v4->addresses.insert(v4->addresses.end(), v6->addresses.begin(), v6->addresses.end());
  if (v6->ttl) v4->ttl = v4->ttl ? std::min(*v4->ttl, *v6->ttl) : v6->ttl;
  tidy(v4->addresses);
  return v4;
}

/// The peer that a record names; nothing for one that says "not here" (RFC 2782) or is of another kind.
std::optional<std::string> address_of(const ns_msg& message, const ns_rr& record, std::uint16_t port) {
  const auto* data = ns_rr_rdata(record);
  const auto size = ns_rr_rdlen(record);
  if (ns_rr_type(record) == ns_t_a && size == 4) return literal(AF_INET, data, port);
  if (ns_rr_type(record) == ns_t_aaaa && size == 16) return literal(AF_INET6, data, port);
  constexpr int kPriorityWeightPort = 6;
  if (ns_rr_type(record) != ns_t_srv || size <= kPriorityWeightPort) return std::nullopt;
  char target[NS_MAXDNAME];
  if (ns_name_uncompress(ns_msg_base(message), ns_msg_end(message), data + kPriorityWeightPort, target, sizeof target) <
      0)
    return std::nullopt;
  std::string host = target;
  if (host.ends_with('.')) host.pop_back();
  const auto text = join_address(host, static_cast<std::uint16_t>(data[4] << 8 | data[5]));
  return check_address(text) ? std::optional(text) : std::nullopt;
}

}  // namespace

Result<DnsAnswer> read_dns_answer(std::span<const unsigned char> message, int type, std::uint16_t port) {
  ns_msg parsed;
  if (ns_initparse(message.data(), static_cast<int>(message.size()), &parsed) != 0)
    return fail(Errc::kUnavailable, "the name server's answer cannot be read");
  DnsAnswer answer;
  for (int i = 0; i < ns_msg_count(parsed, ns_s_an); ++i) {
    ns_rr record;
    if (ns_parserr(&parsed, ns_s_an, i, &record) != 0)
      return fail(Errc::kUnavailable, "the name server's answer cannot be read");
    // The CNAMEs on the way count for the TTL: any of them may change.
    const std::chrono::seconds ttl(ns_rr_ttl(record));
    answer.ttl = answer.ttl ? std::min(*answer.ttl, ttl) : ttl;
    if (ns_rr_type(record) != type) continue;
    if (auto address = address_of(parsed, record, port)) answer.addresses.push_back(std::move(*address));
    if (answer.addresses.size() > kMaxMembers) return fail(Errc::kLimit, "too many records");
  }
  return checked(std::move(answer));
}

Result<DnsAnswer> look_up(const DnsOptions& options) {
  const bool service = options.name.starts_with('_');
  if (!service && options.server.empty()) return system_addresses(options.name, options.port);
  Resolver resolver;
  if (auto used = resolver.use(options.server); !used) return std::unexpected(used.error());
  return service ? resolver.query(options.name, ns_t_srv, options.port) : both_families(resolver, options);
}

}  // namespace oxbow::p2p

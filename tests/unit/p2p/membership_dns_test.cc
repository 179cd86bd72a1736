#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "p2p/membership/dns_lookup.h"
#include "tests/unit/p2p/membership_support.h"

namespace oxbow::p2p {
namespace {

using namespace test;
using Words = std::vector<std::string>;
using Bytes = std::vector<unsigned char>;

constexpr int kA = 1;
constexpr int kCname = 5;
constexpr int kAaaa = 28;
constexpr int kSrv = 33;

void append16(Bytes& out, unsigned value) {
  out.push_back(static_cast<unsigned char>(value >> 8));
  out.push_back(static_cast<unsigned char>(value));
}

Bytes encode_name(const std::string& name) {
  Bytes out;
  for (std::size_t begin = 0; begin < name.size();) {
    const auto end = std::min(name.find('.', begin), name.size());
    out.push_back(static_cast<unsigned char>(end - begin));
    out.insert(out.end(), name.begin() + static_cast<std::ptrdiff_t>(begin),
               name.begin() + static_cast<std::ptrdiff_t>(end));
    begin = end + 1;
  }
  out.push_back(0);
  return out;
}

struct Record {
  int type;
  unsigned ttl;
  Bytes data;
};
Record a(const std::string& address, unsigned ttl = 60) {
  Bytes data(4);
  inet_pton(AF_INET, address.c_str(), data.data());
  return {kA, ttl, data};
}
Record aaaa(const std::string& address, unsigned ttl = 60) {
  Bytes data(16);
  inet_pton(AF_INET6, address.c_str(), data.data());
  return {kAaaa, ttl, data};
}
Record srv(const std::string& target, unsigned port) {
  Bytes data;
  append16(data, 0);
  append16(data, 0);
  append16(data, port);
  const auto name = encode_name(target);
  data.insert(data.end(), name.begin(), name.end());
  return {kSrv, 60, data};
}

/// Answers any name on a UDP port of the loopback with the records that it has, or with an error.
class TinyDns {
 public:
  TinyDns() : socket_(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof at;
    EXPECT_EQ(::bind(socket_, reinterpret_cast<sockaddr*>(&at), size), 0);
    getsockname(socket_, reinterpret_cast<sockaddr*>(&at), &size);
    address_ = "127.0.0.1:" + std::to_string(ntohs(at.sin_port));
    thread_ = std::thread([this] { serve(); });
  }
  TinyDns(const TinyDns&) = delete;
  TinyDns& operator=(const TinyDns&) = delete;
  ~TinyDns() {
    stopping_ = true;
    thread_.join();
    ::close(socket_);
  }
  const std::string& address() const { return address_; }
  int queries() const { return queries_; }
  /// `code`: 0 is well, 2 a server failure, 3 no such name; -1 says nothing at all.
  void set(std::vector<Record> records, int code = 0) {
    const std::lock_guard lock(mutex_);
    records_ = std::move(records);
    code_ = code;
  }

 private:
  void serve() {
    while (!stopping_) {
      pollfd polled{socket_, POLLIN, 0};
      if (::poll(&polled, 1, 10) <= 0) continue;
      Bytes query(512);
      sockaddr_in from{};
      socklen_t size = sizeof from;
      const auto got = ::recvfrom(socket_, query.data(), query.size(), 0, reinterpret_cast<sockaddr*>(&from), &size);
      if (got < 12) continue;
      ++queries_;
      query.resize(static_cast<std::size_t>(got));
      const auto answer = respond(query);
      if (!answer.empty()) ::sendto(socket_, answer.data(), answer.size(), 0, reinterpret_cast<sockaddr*>(&from), size);
    }
  }

  Bytes respond(const Bytes& query) {
    const std::lock_guard lock(mutex_);
    if (code_ < 0) return {};
    auto end = std::find(query.begin() + 12, query.end(), 0) + 5;  // of the question
    const int type = end[-3];
    Bytes out(query.begin(), query.begin() + 2);
    append16(out, 0x8180U | static_cast<unsigned>(code_));
    append16(out, 1);
    append16(out, static_cast<unsigned>(std::ranges::count(records_, type, &Record::type)));
    append16(out, 0);
    append16(out, 0);
    out.insert(out.end(), query.begin() + 12, end);
    for (const auto& record : records_) {
      if (record.type != type) continue;
      append16(out, 0xc00c);  // the question's name
      append16(out, static_cast<unsigned>(type));
      append16(out, 1);
      append16(out, record.ttl >> 16);
      append16(out, record.ttl & 0xffff);
      append16(out, static_cast<unsigned>(record.data.size()));
      out.insert(out.end(), record.data.begin(), record.data.end());
    }
    return out;
  }

  const int socket_;
  std::string address_;
  std::thread thread_;
  std::atomic<bool> stopping_ = false;
  std::atomic<int> queries_ = 0;
  std::mutex mutex_;
  std::vector<Record> records_;
  int code_ = 0;
};

// A and AAAA become one member an address, sorted; the least TTL is kept.
TEST(DnsLookup, BothFamilies) {
  TinyDns dns;
  dns.set({a("10.0.0.2", 30), a("10.0.0.1"), aaaa("fd00::7", 9)});
  const auto answer = look_up({.name = "peers.test", .port = 5051, .server = dns.address()});
  ASSERT_TRUE(answer) << answer.error().what();
  EXPECT_EQ(answer->addresses, (Words{"10.0.0.1:5051", "10.0.0.2:5051", "[fd00::7]:5051"}));
  EXPECT_EQ(answer->ttl, std::chrono::seconds(9));
  dns.set({a("10.0.0.3")});
  EXPECT_EQ(look_up({.name = "peers.test", .port = 1, .server = dns.address()})->addresses, (Words{"10.0.0.3:1"}));
}

// SRV brings names and ports; "." means that there is no such service here.
TEST(DnsLookup, Services) {
  TinyDns dns;
  dns.set({srv("n2.test", 7001), srv("n1.test", 7000), srv("", 1)});
  const auto answer = look_up({.name = "_oxbow._tcp.test", .server = dns.address()});
  ASSERT_TRUE(answer) << answer.error().what();
  EXPECT_EQ(answer->addresses, (Words{"n1.test:7000", "n2.test:7001"}));
}

// A CNAME that leads nowhere and a service that is "not here" name nobody: no cluster without members.
TEST(DnsLookup, NobodyIsAnError) {
  TinyDns dns;
  dns.set({srv("", 1)});
  EXPECT_EQ(look_up({.name = "_oxbow._tcp.test", .server = dns.address()}).error().code(), Errc::kNotFound);
  Bytes message{0, 7, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0};
  const auto add = [&](const Bytes& bytes) { message.insert(message.end(), bytes.begin(), bytes.end()); };
  add(encode_name("peers.test"));
  add({0, kA, 0, 1});
  const auto target = encode_name("gone.test");
  add({0xc0, 0x0c, 0, kCname, 0, 1, 0, 0, 0, 60, 0, static_cast<unsigned char>(target.size())});
  add(target);
  EXPECT_EQ(read_dns_answer(message, kA, 1).error().code(), Errc::kNotFound);
}

// Errors tell a name that is not there from a server that does not work; garbage is an error, not a view.
TEST(DnsLookup, Errors) {
  TinyDns dns;
  dns.set({}, 3);
  EXPECT_EQ(look_up({.name = "peers.test", .server = dns.address()}).error().code(), Errc::kNotFound);
  dns.set({}, 2);
  EXPECT_EQ(look_up({.name = "peers.test", .server = dns.address()}).error().code(), Errc::kUnavailable);
  EXPECT_EQ(look_up({.name = "peers.test", .server = "nonsense"}).error().code(), Errc::kInvalid);
  const Bytes garbage(40, 0xff);
  EXPECT_FALSE(read_dns_answer(garbage, kA, 1));
  EXPECT_FALSE(read_dns_answer({}, kA, 1));
}

// The system's resolver reads /etc/hosts.
TEST(DnsLookup, LocalhostThroughTheSystem) {
  const auto answer = look_up({.name = "localhost", .port = 5051});
  ASSERT_TRUE(answer) << answer.error().what();
  EXPECT_FALSE(answer->addresses.empty());
  EXPECT_TRUE(std::ranges::all_of(answer->addresses,
                                  [](const auto& one) { return one.starts_with("127.") || one == "[::1]:5051"; }));
}

// Changes are pushed, an answer in another order is not, and a name that vanishes keeps the last view.
TEST(DnsMembership, PushesChangesOnly) {
  TinyDns dns;
  MetricsRegistry metrics;
  Views views;
  dns.set({a("10.0.0.1", 0), a("10.0.0.2", 0)});
  const auto membership = make_dns_membership(
      {.name = "peers.test", .port = 5, .interval = std::chrono::seconds(1), .server = dns.address()}, metrics);
  ASSERT_TRUE(membership->start(views.callback()));
  ASSERT_TRUE(views.reach({"10.0.0.1:5", "10.0.0.2:5"}));
  dns.set({a("10.0.0.2", 0), a("10.0.0.1", 0)});
  const int asked = dns.queries();
  ASSERT_TRUE(eventually([&] { return dns.queries() >= asked + 2; }));
  dns.set({}, 3);
  ASSERT_TRUE(eventually([&] { return !membership->trouble().empty(); }));
  EXPECT_EQ(views.count(), 1U);
  dns.set({a("10.0.0.3", 0)});
  ASSERT_TRUE(views.reach({"10.0.0.3:5"}));
  EXPECT_TRUE(eventually([&] { return membership->trouble().empty(); }));
  EXPECT_GE(metric(metrics, "oxbow_membership_errors_total", "dns"), 1);
}

// Nor does a service that says "not here" empty the view.
TEST(DnsMembership, NobodyKeepsTheLastView) {
  TinyDns dns;
  MetricsRegistry metrics;
  Views views;
  dns.set({srv("n1.test", 7000)});
  const auto membership = make_dns_membership(
      {.name = "_oxbow._tcp.test", .interval = std::chrono::seconds(1), .server = dns.address()}, metrics);
  ASSERT_TRUE(membership->start(views.callback()));
  ASSERT_TRUE(views.reach({"n1.test:7000"}));
  dns.set({srv("", 1)});
  ASSERT_TRUE(eventually([&] { return !membership->trouble().empty(); }));
  EXPECT_EQ(views.count(), 1U);
}

// A name server that says nothing holds a look-up for seconds, and `stop` for none of them: the look-up is left behind.
TEST(DnsMembership, StopDoesNotWaitForTheResolver) {
  TinyDns dns;
  MetricsRegistry metrics;
  Views views;
  dns.set({}, -1);
  const auto membership = make_dns_membership({.name = "peers.test", .server = dns.address()}, metrics);
  ASSERT_TRUE(membership->start(views.callback()));
  ASSERT_TRUE(eventually([&] { return dns.queries() > 0; }));
  membership->stop();
  EXPECT_EQ(views.count(), 0U);
  EXPECT_TRUE(membership->trouble().empty());
}

// What can never work is refused.
TEST(DnsMembership, RefusesBadOptions) {
  MetricsRegistry metrics;
  Views views;
  EXPECT_FALSE(make_dns_membership({}, metrics)->start(views.callback()));
  EXPECT_FALSE(make_dns_membership({.name = "a", .port = 0}, metrics)->start(views.callback()));
}

}  // namespace
}  // namespace oxbow::p2p

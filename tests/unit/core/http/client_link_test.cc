// Which of a name's addresses a connection is made to, when some do not answer.
#include "core/http/client_link.h"

#include <gtest/gtest.h>
#include <linux/filter.h>
#include <sys/socket.h>

#include <boost/asio/ip/tcp.hpp>

#include "http_client_support.h"

namespace oxbow::http::test {
namespace {

using asio::ip::tcp;

class ClientLinks : public testing::Test, public ClientLink::Owner {
 protected:
  ClientLinks() {
    sock_filter drop{.code = BPF_RET | BPF_K, .jt = 0, .jf = 0, .k = 0};
    const sock_fprog program{.len = 1, .filter = &drop};
    EXPECT_EQ(::setsockopt(silent.native_handle(), SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program), 0);
  }
  ~ClientLinks() override {
    if (link) link->close();
  }
  void on_turn(ClientLink&) override {}
  void on_closed(ClientLink&, Error error, ClientSession::Calls, ClientSession::Calls) override {
    why = std::move(error);
  }

  static tcp::endpoint any_port() { return {asio::ip::address_v4::loopback(), 0}; }
  /// Until it stands or has failed.
  void open(ClientLink::Endpoints endpoints) {
    const ClientOptions options{.connect_timeout = std::chrono::milliseconds(1'500)};
    link = std::make_shared<ClientLink>(
        client.loop,
        ClientConnection::Target{.host = "node-1.example", .port = 5'001, .expected_name = "", .tls = nullptr}, options,
        *this);
    link->open_to(std::move(endpoints));
    ASSERT_TRUE(client.until([&] { return why || link->established(); }));
  }
  std::string said() const { return why ? why->what() : ""; }

  ClientLoop client;
  tcp::acceptor silent{client.loop, any_port()};  // what comes to it vanishes
  std::shared_ptr<ClientLink> link;
  std::optional<Error> why;
};

// An address that swallows packets, as that of a family which is not routed, leaves time for those after it.
TEST_F(ClientLinks, ASilentAddressLeavesTimeForTheNext) {
  const tcp::acceptor answers(client.loop, any_port());
  open({silent.local_endpoint(), silent.local_endpoint(), answers.local_endpoint()});
  EXPECT_TRUE(link->established()) << said();
}

// When the last one refuses, who reads of it learns of the silence too.
TEST_F(ClientLinks, SilenceIsToldWithTheLastRefusal) {
  const tcp::socket refuses(client.loop, any_port());  // bound and never listened on
  open({silent.local_endpoint(), refuses.local_endpoint()});
  ASSERT_TRUE(why);
  EXPECT_EQ(why->code(), Errc::kUnavailable);
  EXPECT_TRUE(said().contains("refused; 127.0.0.1: no answer within ")) << said();
}

}  // namespace
}  // namespace oxbow::http::test

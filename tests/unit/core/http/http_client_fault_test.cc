// The HTTP/2 client against servers that misbehave, frame by frame.
#include <gtest/gtest.h>

#include <boost/asio/ip/tcp.hpp>

#include "http_client_support.h"

namespace oxbow::http::test {
namespace {

using Peer = ScriptedServer::Peer;

class HttpClientFaults : public testing::Test {
 protected:
  /// One call against these scripts, until it is over.
  void ask(ScriptedServer& server, ClientOptions options = {}) {
    connection = client.connect(server.port(), nullptr, "", options);
    call = connection->call(get_request("/"), sink);
    ASSERT_TRUE(client.until([&] { return sink.dones == 1; }));
  }
  static void answer(Peer& peer) {
    const auto stream = peer.read_request();
    peer.send(settings_frame() + ok_head(stream) + frame(kData, kEndStream, stream, "fine"));
    peer.wait_for_end();
  }
  /// Scripts wait for it.
  void hang_up() {
    call.reset();
    connection->close();
  }

  ClientLoop client;
  RecordingSink sink;
  std::shared_ptr<ClientConnection> connection;
  std::unique_ptr<ClientCall> call;
};

// Nobody listens; and the loop goes on serving other connections.
TEST_F(HttpClientFaults, RefusedConnectionsAreUnavailable) {
  // Bound and never listened on: a port that was given back may be another test's server a moment later.
  const asio::ip::tcp::socket bound(client.loop, asio::ip::tcp::endpoint(asio::ip::address_v4::loopback(), 0));
  connection = client.connect(bound.local_endpoint().port());
  call = connection->call(get_request("/"), sink);
  ASSERT_TRUE(client.until([&] { return sink.dones == 1; }));
  EXPECT_EQ(sink.error(), Errc::kUnavailable);
  EXPECT_NE(sink.outcome.error().what().find("127.0.0.1"), std::string::npos);
  ScriptedServer other({answer});
  sink = {};
  ask(other);
  EXPECT_EQ(sink.body, "fine");
  hang_up();
}

// A server that accepts and says nothing at all has not connected.
TEST_F(HttpClientFaults, SilenceIsATimeout) {
  ScriptedServer server({[](Peer& peer) { peer.wait_for_end(); }});
  ClientOptions options;
  options.connect_timeout = std::chrono::milliseconds(50);
  ask(server, options);
  EXPECT_EQ(sink.error(), Errc::kTimeout);
}

// A server that falls silent later is found out by PING, and the next call goes to a new connection.
TEST_F(HttpClientFaults, AnUnansweredPingBreaksTheConnection) {
  bool pinged = false;
  ScriptedServer server({[&](Peer& peer) {
                           peer.send(settings_frame());
                           for (Peer::Frame got; got = peer.read_frame(), got.type != 0xff;) {
                             pinged |= got.type == kPing;
                           }
                         },
                         answer});
  ClientOptions options;
  options.ping_interval = std::chrono::milliseconds(500);  // the next answer comes in less, and nobody answers PINGs
  ask(server, options);
  EXPECT_EQ(sink.error(), Errc::kUnavailable);
  RecordingSink next;
  call = connection->call(get_request("/"), next);
  ASSERT_TRUE(client.until([&] { return next.dones == 1; }));
  EXPECT_EQ(next.body, "fine");
  EXPECT_TRUE(pinged);
  hang_up();
}

// A body that breaks off is an error after the bytes that came.
TEST_F(HttpClientFaults, ABrokenBodyIsNotAWholeOne) {
  ScriptedServer server({[](Peer& peer) {
    const auto stream = peer.read_request();
    peer.send(settings_frame() + ok_head(stream) + frame(kData, 0, stream, "half"));
  }});
  ask(server);
  EXPECT_EQ(sink.body, "half");
  EXPECT_EQ(sink.error(), Errc::kUnavailable);
}

// RST_STREAM in the middle ends the call and spares the connection.
TEST_F(HttpClientFaults, AResetStreamEndsItsCallOnly) {
  ScriptedServer server({[](Peer& peer) {
    auto stream = peer.read_request();
    peer.send(settings_frame() + ok_head(stream) + frame(kData, 0, stream, "half") + frame(kRst, 0, stream, u32(2)));
    stream = peer.read_request();
    peer.send(ok_head(stream, true));
    peer.wait_for_end();
  }});
  ask(server);
  EXPECT_EQ(sink.error(), Errc::kUnavailable);
  RecordingSink next;
  call = connection->call(get_request("/"), next);
  ASSERT_TRUE(client.until([&] { return next.dones == 1; }));
  EXPECT_TRUE(next.outcome);
  EXPECT_EQ(server.accepted(), 1);
  hang_up();
}

// REFUSED_STREAM is tried again once, unseen by the caller; a second refusal is told.
TEST_F(HttpClientFaults, ARefusedStreamIsTriedOnceMore) {
  ScriptedServer server({[](Peer& peer) {
    auto stream = peer.read_request();
    peer.send(settings_frame() + frame(kRst, 0, stream, u32(7)));
    stream = peer.read_request();
    peer.send(ok_head(stream) + frame(kData, kEndStream, stream, "second"));
    for (int i = 0; i < 2; ++i) {
      stream = peer.read_request();
      peer.send(frame(kRst, 0, stream, u32(7)));
    }
    peer.wait_for_end();
  }});
  ask(server);
  EXPECT_TRUE(sink.outcome);
  EXPECT_EQ(sink.body, "second");
  RecordingSink twice;
  call = connection->call(get_request("/"), twice);
  ASSERT_TRUE(client.until([&] { return twice.dones == 1; }));
  EXPECT_EQ(twice.error(), Errc::kUnavailable);
  hang_up();
}

// GOAWAY: the call it covers finishes on the old connection, the other one moves to a new one.
TEST_F(HttpClientFaults, GoawayMovesWhatWasNotProcessed) {
  ScriptedServer server({[](Peer& peer) {
                           peer.send(settings_frame());
                           const auto first = peer.read_request();
                           peer.read_request();
                           peer.send(ok_head(first) + goaway_frame(first, 0) + frame(kData, kEndStream, first, "old"));
                           peer.wait_for_end();
                         },
                         answer});
  connection = client.connect(server.port());
  RecordingSink second;
  call = connection->call(get_request("/a"), sink);
  auto other = connection->call(get_request("/b"), second);
  ASSERT_TRUE(client.until([&] { return sink.dones + second.dones == 2; }));
  EXPECT_EQ(sink.body, "old");
  EXPECT_TRUE(second.outcome) << second.outcome.error().what();
  EXPECT_EQ(second.body, "fine");
  EXPECT_EQ(server.accepted(), 2);
  other.reset();
  hang_up();
}

// A server that says GOAWAY to everybody is not asked for ever.
TEST_F(HttpClientFaults, EndlessGoawayGivesUp) {
  const auto refuse = [](Peer& peer) {
    peer.read_request();
    peer.send(settings_frame() + goaway_frame(0, 0));
    peer.wait_for_end();
  };
  ScriptedServer server({refuse, refuse, refuse});
  ask(server);
  EXPECT_EQ(sink.error(), Errc::kUnavailable);
  EXPECT_EQ(server.accepted(), 2);
}

// What is not HTTP/2 ends the connection, whatever it is.
TEST_F(HttpClientFaults, GarbageBreaksTheConnection) {
  const std::string http1 = "HTTP/1.1 400 Bad Request\r\n\r\n";
  for (const auto& bytes :
       {http1, std::string(1'000, '\xff'), settings_frame() + frame(kData, 0, 0, "x"),
        settings_frame() + frame(kHeaders, kEndHeaders, 1, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
        settings_frame() + frame(kWindowUpdate, 0, 0, u32(0))}) {
    ScriptedServer server({[&](Peer& peer) {
      peer.read_request();
      peer.send(bytes);
      peer.wait_for_end();
    }});
    sink = {};
    ask(server);
    EXPECT_EQ(sink.error(), Errc::kUnavailable);
    EXPECT_EQ(sink.heads, 0);
    call.reset();
  }
}

// Informational answers and trailers are not what the caller asked for.
TEST_F(HttpClientFaults, InformationalAnswersAndTrailersAreLeftOut) {
  ScriptedServer server({[](Peer& peer) {
    const auto stream = peer.read_request();
    const std::string continue_head = std::string("\x08\x03") + "100";  // ":status" from the static table
    const std::string trailer = std::string("\x00\x01", 2) + "t" + "\x01" + "v";
    peer.send(settings_frame() + frame(kHeaders, kEndHeaders, stream, continue_head) + ok_head(stream) +
              frame(kData, 0, stream, "body") + frame(kHeaders, kEndHeaders | kEndStream, stream, trailer));
    peer.wait_for_end();
  }});
  ask(server);
  EXPECT_TRUE(sink.outcome) << sink.outcome.error().what();
  EXPECT_EQ(sink.heads, 1);
  EXPECT_EQ(sink.status, 200);
  EXPECT_TRUE(sink.headers.empty());
  EXPECT_EQ(sink.body, "body");
  hang_up();
}

// Whole frames of 256 KiB are taken, and the windows that we announce are what the options say.
TEST_F(HttpClientFaults, AnnouncesLargeFramesAndWindows) {
  std::map<std::uint32_t, std::uint32_t> settings;
  std::uint32_t connection_credit = 0;
  const auto number = [](std::string_view bytes) {
    std::uint32_t out = 0;
    for (const char c : bytes) out = out << 8U | static_cast<unsigned char>(c);
    return out;
  };
  ScriptedServer server({[&](Peer& peer) {
    Peer::Frame got;
    while (got = peer.read_frame(), got.type != kHeaders && got.type != 0xff) {
      if (got.type == kSettings && (got.flags & 1U) == 0) {
        for (std::size_t i = 0; i + 6 <= got.payload.size(); i += 6) {
          settings[number(got.payload.substr(i, 2))] = number(got.payload.substr(i + 2, 4));
        }
      }
      if (got.type == kWindowUpdate) connection_credit = number(got.payload);
    }
    peer.send(settings_frame() + frame(kSettings, 1, 0, "") + ok_head(got.stream) +
              frame(kData, kEndStream, got.stream, std::string(256UL * 1024, 'b')));
    peer.wait_for_end();
  }});
  ask(server);
  hang_up();
  EXPECT_EQ(sink.body.size(), 256UL * 1024);
  EXPECT_EQ(settings[4], 8U * 1024 * 1024);
  EXPECT_EQ(settings[5], 256U * 1024);
  EXPECT_EQ(settings[2], 0U);
  EXPECT_EQ(connection_credit, 32U * 1024 * 1024 - 65'535);
}

// A header without end is refused at 64 KiB.
TEST_F(HttpClientFaults, TooLargeAHeaderIsALimit) {
  ScriptedServer server({[](Peer& peer) {
    const auto stream = peer.read_request();
    std::string block("\x88");
    for (int i = 0; i < 100; ++i) {
      block += std::string("\x00\x01", 2) + "n" + std::string("\x7f\xe9\x06", 3) + std::string(1'000, 'v');
    }
    std::string out = settings_frame();
    for (std::size_t at = 0; at < block.size(); at += 16'000) {
      const bool last = at + 16'000 >= block.size();
      out += frame(at == 0 ? kHeaders : 9, last ? kEndHeaders : 0, stream, block.substr(at, 16'000));
    }
    peer.send(out);
    peer.wait_for_end();
  }});
  ask(server);
  EXPECT_EQ(sink.error(), Errc::kLimit) << sink.outcome.error().what();
  hang_up();
}

}  // namespace
}  // namespace oxbow::http::test

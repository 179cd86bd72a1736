// One call from `ClientConnection::call` to `on_done`: it waits for a connection, runs as a stream of a session, and
// keeps what its sink did not take, at most one stream window. The sink's functions may do anything to the call and its
// connection, destroying both included. Part of the client's implementation. Thread rule: the connection's loop.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "core/http/client.h"

namespace oxbow::http {

class ClientSession;

class CallState : public std::enable_shared_from_this<CallState> {
 public:
  CallState(ClientRequest call_request, ClientSink& sink) : request(std::move(call_request)), sink_(&sink) {}

  /// Somebody still waits for the outcome.
  bool live() const noexcept { return sink_ != nullptr; }
  /// Its outcome is known; held bytes may still be on their way to the sink.
  bool decided() const noexcept { return sink_ == nullptr || outcome_.has_value(); }

  void give_head(int status);
  /// What is free again of the stream's window: what the sink took, or all when nobody listens any more.
  std::size_t give_data(std::span<const std::byte> bytes);
  /// Success waits until the sink has taken what is held; a failure is told at once. The first outcome counts.
  void finish(Result<> outcome);
  /// Offers what is held again.
  void deliver();
  /// The handle is gone: nothing is called any more.
  void cancel();

  ClientRequest request;
  std::size_t request_sent = 0;  ///< bytes of the request's body
  Headers head;                  ///< of the response, as it arrives
  int status = 0;
  std::size_t head_bytes = 0;
  bool head_given = false;
  bool retried = false;
  bool resume_posted = false;
  ClientSession* session = nullptr;  ///< null: waiting, or the stream is over
  std::int32_t stream = 0;
  bool stream_open = false;

 private:
  void hold(std::span<const std::byte> bytes);
  void tell(Result<> outcome);

  ClientSink* sink_;
  std::deque<std::string> held_;
  std::size_t held_front_done_ = 0;
  std::optional<Result<>> outcome_;
  bool delivering_ = false;
};

}  // namespace oxbow::http

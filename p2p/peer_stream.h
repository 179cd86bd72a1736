// One exchange with a peer whose body streams in, handed over from the connection's loop to the asker's. Pieces are
// copied and coalesced; at most kQueueBytes wait for the asker, then the stream's window closes. Where both are the
// same loop nothing is copied.
// Thread rule: everything on the asker's loop. Lifetime: destroying it ends the exchange; the consumer, which may do
// that from within its functions, is not called afterwards, and never from within `open`.
#pragma once

#include <chrono>
#include <memory>
#include <span>

#include "core/error.h"
#include "core/http/client.h"
#include "core/metrics.h"
#include "core/task.h"
#include "p2p/peer_link.h"
#include "p2p/peer_table.h"
#include "p2p/stream_chunks.h"

namespace oxbow::p2p {

class StreamConsumer {
 public:
  virtual ~StreamConsumer() = default;
  virtual void on_head(int status, const http::Headers& headers) = 0;
  virtual std::size_t on_data(std::span<const std::byte> bytes) = 0;
  virtual void on_done(Result<> outcome) = 0;
};

struct StreamParts {
  std::shared_ptr<PeerLink> link;
  PeerId peer = kNoPeer;
  PeerTable& table;  ///< hears of contacts and failures
  Counter& bytes;    ///< that came
  std::shared_ptr<StreamChunks> chunks;
};

class PeerStream {
 public:
  static constexpr std::size_t kQueueBytes = 2UL * 1024 * 1024;

  /// `head_timeout`: for the answer's head, connecting and retries included; after that progress is the asker's
  /// business. A deadline in the request's fields becomes what is left of it.
  static std::unique_ptr<PeerStream> open(StreamParts parts, http::ClientRequest request,
                                          std::chrono::milliseconds head_timeout, Loop& asker,
                                          StreamConsumer& consumer);
  ~PeerStream();
  PeerStream(const PeerStream&) = delete;
  /// After `on_data` has taken less than all.
  void resume();

 private:
  class Relay;
  explicit PeerStream(std::shared_ptr<Relay> relay);
  const std::shared_ptr<Relay> relay_;
};

}  // namespace oxbow::p2p

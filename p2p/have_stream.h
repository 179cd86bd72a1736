// The endless body of GET …/have: JSON lines, first the whole map, then what changes, coalesced; the load when it
// changes by much, and as a sign of life. Ends when the blob is gone or the asker is not allowed any more.
// Thread rule: as http::Body. Lifetime: what the functions refer to outlives it.
#pragma once

#include <chrono>
#include <functional>
#include <memory>

#include "core/clock.h"
#include "core/http/body.h"
#include "core/task.h"
#include "p2p/peer_content.h"

namespace oxbow::p2p {

struct HaveStreamTimes {
  std::chrono::milliseconds line{20};   ///< least time between two lines
  std::chrono::milliseconds look{250};  ///< between looks at the load
  std::chrono::milliseconds keep_alive{2'000};
};

struct HaveStreamParts {
  std::unique_ptr<PeerContent::HaveWatch> watch;
  std::function<Load()> load;
  std::function<bool()> allowed;  ///< whether the stream may go on
  std::shared_ptr<void> counted;  ///< held while the stream lives
  const Clock& clock;
};

std::unique_ptr<http::Body> make_have_stream(Loop& loop, HaveStreamParts parts, HaveStreamTimes times = {});

}  // namespace oxbow::p2p

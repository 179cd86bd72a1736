// The two calls whose answers stream: a stripe, and a have stream. Thread rule: the asker's loop. Lifetime: as
// PeerCall.
#pragma once

#include <functional>
#include <memory>

#include "p2p/peer_client.h"
#include "p2p/peer_stream.h"

namespace oxbow::p2p {

/// What an answer's status means to the asker; nothing for 200 and 206.
Result<> outcome_of(int status);

std::unique_ptr<PeerCall> open_stripe(StreamParts parts, http::ClientRequest request, StripeAsk ask, Loop& loop,
                                      StripeSink& sink);
/// `counted` is held until the stream has ended.
std::unique_ptr<PeerCall> open_have_stream(StreamParts parts, http::ClientRequest request, std::uint32_t stripes,
                                           std::shared_ptr<void> counted, Loop& loop,
                                           std::function<void(HaveUpdate)> on_update,
                                           std::function<void(Error)> on_end);
/// A call that cannot even begin: `failed` runs on the loop, unless the call is destroyed before.
std::unique_ptr<PeerCall> open_nothing(Loop& loop, std::function<void()> failed);

}  // namespace oxbow::p2p

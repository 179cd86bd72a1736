// The JSON form of a midstate list: its states one after another, in base64. Part of the messages' implementation.
// Thread rule: pure functions. Include from .cc files only.
#pragma once

#include <optional>

#include "p2p/protocol/fields.h"
#include "p2p/protocol/messages.h"

namespace oxbow::p2p {

Json midstates_json(const MidstateList& list);
/// Of a blob of `size` bytes with a digest of `algorithm`: one state for each stripe but the first, as long as the
/// algorithm's are. What is wrong is noted in `fields`.
std::optional<MidstateList> read_midstates(Fields& fields, const Json& json, Digest::Algorithm algorithm,
                                           std::uint64_t size);

}  // namespace oxbow::p2p

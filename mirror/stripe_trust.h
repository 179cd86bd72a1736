// What is known about the bytes of a blob before it has verified, and who is to blame once it has. Stripes from peers
// are compared with what the node that got them from upstream says (first-hand checksums, from its have stream) and
// with midstate lists (hints). A disagreement blames nobody: the stripe is fetched again from elsewhere, and who sent
// or said what is kept. When the blob has hashed to its digest its bytes are the truth, and only then everybody whose
// word differs from it is named: an honest sender never is.
// Thread rule: the home loop, but `hint` and `hint_says` (any thread). Lifetime: one a fetch.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/sha.h"
#include "mirror/prefix_hasher.h"
#include "p2p/strategy.h"
#include "storage/store.h"

namespace oxbow::mirror {

class StripeTrust {
 public:
  /// `publisher` got `stripe` from upstream, with that checksum.
  void note_first_hand(p2p::PeerId publisher, std::uint32_t stripe, const Checksum& sum);

  /// Whether a stripe that came whole from `sender`, which claimed a checksum for it, agrees with everything known. If
  /// not, who said what is kept.
  /// `sender` kNoPeer: several had a part in it. `given`: readers may have got it already.
  bool agrees(std::uint32_t stripe, p2p::PeerId sender, const Checksum& actual, const std::optional<Checksum>& claimed,
              bool given = false);
  /// A stripe that is about to be replaced, with who sent it.
  void doubt(std::uint32_t stripe, p2p::PeerId sender, const Checksum& actual, bool given);
  bool doubted(std::uint32_t stripe, p2p::PeerId sender) const;
  /// Whether somebody else sent the very same bytes: two who agree weigh more than a list.
  bool seconded(std::uint32_t stripe, p2p::PeerId sender, const Checksum& actual) const;

  /// The list to go by from now on, if there is none; kept for the reckoning in any case.
  void add_hint(p2p::MidstateList list);
  bool has_hint() const;
  /// Whether somebody else than `name` published the list that is gone by.
  bool hint_of_another(std::string_view name) const;
  /// Of a blob cut that way.
  std::optional<StripeLink> hint_link(const Geometry& geometry, std::uint32_t stripe) const;
  /// Nothing: there is no hint, or it does not reach that far. `stripe`'s end is what the midstate belongs to.
  std::optional<bool> hint_says(std::uint32_t stripe, std::string_view midstate) const;
  /// The list was contradicted by upstream's own bytes.
  void drop_hint();
  /// The first stripe whose end the list that is gone by has otherwise than `own`, the midstates from stripe 1 on.
  std::optional<std::uint32_t> hint_differs(const std::vector<std::string>& own) const;
  /// The same for any list that was ever heard of: the lowest.
  std::optional<std::uint32_t> any_differs(const std::vector<std::string>& own) const;

  struct Verdict {
    std::vector<p2p::PeerId> senders;
    std::vector<std::string> publishers;
    std::vector<std::uint32_t> replaced;  ///< stripes that were given out with wrong bytes
  };
  /// Of a blob that has just verified.
  Verdict verdict(const storage::Blob& blob) const;

 private:
  struct Word {
    std::uint32_t stripe;
    p2p::PeerId peer;
    Checksum sum;
    bool sent;  ///< bytes, not only a checksum
    bool given;
    bool operator==(const Word&) const = default;
  };
  void keep(const Word& word);

  std::map<std::uint32_t, std::pair<p2p::PeerId, Checksum>> first_hand_;
  std::vector<Word> words_;   ///< that disagreed with another
  mutable std::mutex mutex_;  ///< the lists
  std::vector<p2p::MidstateList> lists_;
  std::optional<std::size_t> current_;
};

}  // namespace oxbow::mirror

// What is known about the bytes of a blob before it has verified, and who is to blame once it has. Stripes from peers
// are compared with what the node that got them from upstream says (first-hand checksums, from its have stream) and
// with midstate lists (hints). A disagreement blames nobody: the stripe is fetched again from elsewhere, and who sent
// or said what is kept. When the blob has hashed to its digest its bytes are the truth, and only then everybody whose
// word differs from it is named. A peer answers for what it says that it has verified, and for what it says that it has
// from upstream; whoever only passed on what agreed with all that it knew is not named.
// Thread rule: the home loop, but `hint_link` and `hint_says` (any thread). Lifetime: one a fetch.
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

/// Where two lists of midstates first differ.
std::optional<std::uint32_t> first_difference(const std::vector<std::string>& own,
                                              const std::vector<std::string>& list);

class StripeTrust {
 public:
  /// Who sent a stripe. kNoPeer: several had a part in it.
  struct Sender {
    Sender(p2p::PeerId id, bool answers_for_it = true) noexcept : peer(id), answers(answers_for_it) {}
    p2p::PeerId peer;
    /// It said that it has verified the blob, or, before it was asked, that it has the stripe from upstream. Who says
    /// so later may have got what it passed on once more, from there.
    bool answers;
  };

  /// `publisher` got `stripe` from upstream, with that checksum.
  void note_first_hand(p2p::PeerId publisher, std::uint32_t stripe, const Checksum& sum);

  /// Whether `peer` has said that it has the stripe from upstream.
  bool is_first_hand(p2p::PeerId peer, std::uint32_t stripe) const;

  /// Whether a stripe that came whole from `sender`, which claimed a checksum for it, agrees with everything known. If
  /// not, who said what is kept.
  /// `given`: readers may have got it already.
  bool agrees(std::uint32_t stripe, Sender sender, const Checksum& actual, const std::optional<Checksum>& claimed,
              bool given = false);
  /// A stripe that is about to be replaced, with who sent it.
  void doubt(std::uint32_t stripe, Sender sender, const Checksum& actual, bool given);
  bool doubted(std::uint32_t stripe, p2p::PeerId sender) const;
  /// Whether somebody else sent the very same bytes: two who agree weigh more than a list.
  bool seconded(std::uint32_t stripe, p2p::PeerId sender, const Checksum& actual) const;

  /// The list to go by from now on, if there is none; kept for the reckoning in any case. `heard_from_publisher`: not
  /// by another's word. False: it is none of a blob of `stripes` stripes, and not taken.
  bool add_hint(std::uint32_t stripes, p2p::MidstateList list, bool heard_from_publisher);
  bool has_hint() const;
  /// Whether somebody else than `name` says himself the list that is gone by.
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
    std::vector<p2p::PeerId> passed_on;  ///< wrong bytes for which somebody else answers
    std::vector<std::string> publishers;
    std::vector<std::string> said_to_publish;  ///< by others: to be asked before they are blamed
    std::vector<std::uint32_t> replaced;       ///< stripes that were given out with wrong bytes
  };
  /// Of a blob that has just verified.
  Verdict verdict(const storage::Blob& blob) const;

 private:
  struct Word {
    std::uint32_t stripe;
    p2p::PeerId peer;
    Checksum sum;
    bool sent;  ///< bytes, not only a checksum
    bool answers;
    bool given;
    bool operator==(const Word&) const = default;
  };
  /// False: there is no room.
  bool keep(const Word& word);
  /// A checksum that `publisher` said to be upstream's.
  void keep_first_hand(std::uint32_t stripe, p2p::PeerId publisher, const Checksum& sum);

  std::map<std::uint32_t, std::pair<p2p::PeerId, Checksum>> first_hand_;
  std::vector<Word> words_;                ///< that disagreed with another
  std::vector<std::uint32_t> given_more_;  ///< given to readers and doubted when there was no room for the word
  mutable std::mutex mutex_;               ///< the lists
  struct Heard {
    p2p::MidstateList list;
    bool from_publisher;
  };
  std::vector<Heard> lists_;
  std::optional<std::size_t> current_;
};

}  // namespace oxbow::mirror

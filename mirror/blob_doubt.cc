// BlobFetch where bytes come from peers: what is checked before it is given out, what is doubted and fetched again, and
// who is named in the end (docs/decisions/0009-trust-in-peers.md).
#include "core/log.h"
#include "mirror/blob_fetch_parts.h"

namespace oxbow::mirror {
namespace {

/// Checked at once for a reader that the hashed prefix does not lead to.
constexpr std::uint32_t kCheckedAhead = 4;
constexpr std::string_view kFalseList = "its midstates were not the blob's";

/// The midstates of the blob as that peer itself gives them. Nothing: it has none, or cannot be asked.
Task<std::optional<std::vector<std::string>>> midstates_of(FetchPeers& peers, Digest digest, std::string name) {
  const auto snapshot = peers.snapshot();
  const auto* peer = snapshot->find(name);
  if (peer == nullptr || peer->state != p2p::PeerState::kEligible) co_return std::nullopt;
  auto facts = co_await peers.client().facts(peer->id, digest, true, std::chrono::seconds(1));
  if (!facts || !facts->midstates) co_return std::nullopt;
  co_return std::move(facts->midstates->states);
}

}  // namespace

bool BlobFetch::accept(Running& running, std::uint32_t stripe) {
  {
    const std::lock_guard lock(mutex_);
    std::erase(arriving_, stripe);
  }
  accepted_[stripe] = true;
  if (running.relayed()) origins_[stripe] = kSeveral;
  const bool waits = !verified_ && !running.is_forward() && unvouched(sender_of(stripe));
  if (waits && has_failed()) {  // nobody will compare it any more
    drop(stripe, false);
    return false;
  }
  if (!is_doubtful(stripe)) {
    settle_probe(stripe, true);
    return true;
  }
  const auto actual = blob_->stripe_checksum(stripe);
  sender_answers_[stripe] = running.answers();
  // Also where upstream has finished what another had begun.
  const bool agreed = !actual || trust_.agrees(stripe, answering(stripe), *actual, running.claimed());
  if (!agreed && !verified_) {  // once it has verified the digest knows better than any word
    context_.observer.on_stripe_corrupt(blob_->digest(), stripe, running.source());
    drop(stripe, true);
    return false;
  }
  if (relinked_[stripe]) check_stripe(stripe, LinkBy::kOwn);
  if (waits && is_refused(sender_of(stripe))) {  // it was on its way when another one was found wrong
    drop(stripe, true);
    return false;
  }
  if (waits) {
    await_voucher(stripe);
  } else if (!relinked_[stripe]) {
    clear(stripe, running.is_forward());
  }
  return true;
}

/// It is missing again, and the prefix is hashed again from it on.
void BlobFetch::drop(std::uint32_t stripe, bool doubted) {
  log_->replacing(stripe, doubted);
  blob_->drop_stripe(stripe);
  hasher_->rewind(stripe);
}

/// A stripe of a peer that nothing speaks against so far: given out at once where there is no list to check it by.
void BlobFetch::clear(std::uint32_t stripe, bool awaited) {
  if (verified_ || !trust_.has_hint()) {
    marks_.set(stripe, StripeMark::kChecked);
    wake_readers();
    return;
  }
  const auto range = blob_->geometry().stripe(stripe);
  const auto hashed = hasher_->position();
  if (awaited || hashed >= range.end) {
    // The prefix does not come this way, or was faster than the news of this stripe.
    check_stripe(stripe, LinkBy::kHint);
  } else if (hashed < range.begin && blob_->readable(hashed, range.begin - hashed) < range.begin - hashed) {
    // The prefix would wait for what is missing before it, and nobody could have it from this node meanwhile.
    check_stripe(stripe, LinkBy::kHintAhead);
  }
}

/// A writer has begun: from here on the stripe's bytes are the source's.
void BlobFetch::on_writing(std::uint32_t stripe, p2p::SourceId source, bool from_begin) {
  auto& origin = origins_[stripe];
  if (from_begin)
    origin = source;
  else if (origin != source)
    origin = kSeveral;
  accepted_[stripe] = false;
  ++copies_[stripe];
  hasher_->forget_link(stripe);  // before it is looked whether the prefix has passed
  // Behind the hashed prefix nobody will hash it again: it is checked alone, between its midstates.
  relinked_[stripe] = hasher_->position() >= blob_->geometry().stripe(stripe).end;
  marks_.set(stripe, is_doubtful(stripe) ? StripeMark::kUnchecked : StripeMark::kFromUpstream);
  log_->writing(stripe);
  if (source == p2p::kUpstream) note_arriving(stripe);
}

bool BlobFetch::is_doubtful(std::uint32_t stripe) const { return origins_[stripe] != p2p::kUpstream; }

/// Nobody, where one cannot be told from another.
p2p::PeerId BlobFetch::sender_of(std::uint32_t stripe) const {
  return origins_[stripe] == kSeveral ? p2p::kNoPeer : origins_[stripe];
}

StripeTrust::Sender BlobFetch::answering(std::uint32_t stripe) const {
  return {sender_of(stripe), sender_answers_[stripe]};
}

void BlobFetch::check_stripe(std::uint32_t stripe, LinkBy by) {
  checking_[stripe] = true;
  ++links_pending_;
  LinkCheck check{.stripe = stripe,
                  .copy = copies_[stripe],
                  .by = by,
                  .sum = blob_->stripe_checksum(stripe),
                  .link = {},
                  .good = {}};
  context_.pool.submit([self = shared_from_this(), check = std::move(check)]() mutable {
    auto& blob = *self->blob_;
    // Own midstates are copied here: of a large blob they are many, and the loop has other things to do.
    check.link = check.by == LinkBy::kOwn ? link_of(blob.geometry(), check.stripe, blob.midstates())
                                          : self->trust_.hint_link(blob.geometry(), check.stripe);
    if (check.link) check.good = check_link(blob, check.stripe, *check.link);
    asio::post(self->context_.home, [self, check = std::move(check)]() mutable { self->on_link(std::move(check)); });
  });
}

/// In order the prefix hash clears what peers sent. Whom it does not lead to would wait for ever: readers of closed
/// ranges, those who began in the middle or whose prefix has lost a stripe. And what nobody reads any more is not left
/// unchecked, because after this fetch nobody knows that it was.
void BlobFetch::check_awaited() {
  if (!trust_.has_hint()) return;
  const auto& geometry = blob_->geometry();
  const auto check = [this](std::uint32_t stripe) {
    if (marks_.at(stripe) != StripeMark::kUnchecked || !accepted_[stripe] || checking_[stripe] || !blob_->has(stripe))
      return;
    if (unvouched(sender_of(stripe)))
      await_voucher(stripe);
    else
      check_stripe(stripe, LinkBy::kHint);
  };
  if (readers_.empty()) {
    for (std::uint32_t stripe = 0; stripe < geometry.stripes(); ++stripe) check(stripe);
    return;
  }
  const auto hashed = hasher_->position();
  for (const auto& [id, reader] : readers_) {
    if (!reader.wants.read_ahead) {
      for (const auto& range : reader.wants.ranges) {
        for (auto stripe = geometry.stripe_at(range.begin); stripe <= geometry.stripe_at(range.end - 1); ++stripe)
          check(stripe);
      }
    } else if (reader.position > hashed &&
               blob_->readable(hashed, reader.position - hashed) < reader.position - hashed) {
      const auto first = geometry.stripe_at(reader.position);
      for (auto stripe = first; stripe < std::min(first + kCheckedAhead, geometry.stripes()); ++stripe) check(stripe);
    }
  }
}

void BlobFetch::on_link(LinkCheck check) {
  const auto stripe = check.stripe;
  const auto sum = check.sum;
  --links_pending_;
  checking_[stripe] = false;
  const bool given = marks_.at(stripe) != StripeMark::kUnchecked;
  if (copies_[stripe] != check.copy || blob_->stripe_checksum(stripe) != sum) {  // another copy is there now, or none
    // What readers had of the first one is vouched for by nothing.
    if (check.by == LinkBy::kOwn && given && !check.good.value_or(false)) spoil(stripe);
    settle();
    pump();
    return;
  }
  const bool by_hint = check.by != LinkBy::kOwn;
  if (check.good.value_or(true) || (by_hint && (verified_ || !trust_.has_hint()))) {
    if (check.good.value_or(false)) {
      log_->checked(stripe, StripeCheck::kLink);
      if (by_hint && stripe + 1 < blob_->geometry().stripes()) hasher_->add_link(stripe, std::move(*check.link));
    }
    on_cleared(stripe, sum);
    settle();
    return;
  }
  if (check.by == LinkBy::kHintAhead) {
    // A false list contradicts every stripe, and each would be fetched again: the prefix finds the first one.
    settle();
    return;
  }
  if (by_hint) {
    on_hint_mismatch(stripe);
    return;
  }
  note_retry(stripe);
  const bool peers = is_doubtful(stripe);
  if (!peers && ++corrupt_stripes_ > context_.limits.corrupt_stripes_max) {
    const Error error(Errc::kCorrupt, fmt::format("stripe {} came wrong {} times", stripe, corrupt_stripes_));
    // In this order: a reader that sees the blob gone must see why.
    fail(error);
    context_.observer.on_blob_corrupt(blob_->digest(), error);
    return;
  }
  context_.observer.on_stripe_corrupt(blob_->digest(), stripe, origins_[stripe]);
  if (sum && peers) trust_.doubt(stripe, answering(stripe), *sum, given);
  log_->replacing(stripe, true);
  blob_->drop_stripe(stripe);
  if (given) spoil(stripe);  // the prefix is not hashed again: it would not tell them
  tell(p2p::StripeLost{stripe});
  pump();
}

/// On a pool thread.
bool BlobFetch::on_boundary(std::uint32_t stripe, std::string_view midstate) {
  if (!trust_.hint_says(stripe, midstate).value_or(true)) {
    asio::post(context_.home, [self = shared_from_this(), stripe] { self->on_hint_mismatch(stripe); });
    return false;
  }
  if (marks_.at(stripe) == StripeMark::kUnchecked) {
    asio::post(context_.home, [self = shared_from_this(), stripe, sum = blob_->stripe_checksum(stripe)] {
      self->on_cleared(stripe, sum);
    });
  }
  return true;
}

void BlobFetch::on_cleared(std::uint32_t stripe, const std::optional<Checksum>& sum) {
  if (!accepted_[stripe]) return;  // the prefix was faster than the news of this stripe
  const bool waits = sum && marks_.at(stripe) == StripeMark::kUnchecked && blob_->stripe_checksum(stripe) == sum;
  if (!verified_ && unvouched(sender_of(stripe))) {
    // Its list and its bytes may be false together. It may have come for another node, or before its sender was said to
    // have everything: then nobody knows yet that it waits.
    if (waits) await_voucher(stripe);
    return;
  }
  if (waits) {
    marks_.set(stripe, StripeMark::kChecked);
    if (trust_.has_hint()) log_->checked(stripe, StripeCheck::kLink);
  }
  wake_readers();
}

void BlobFetch::on_hint_mismatch(std::uint32_t stripe) {
  if (verified_ || stopped_) return;
  if (!trust_.has_hint()) {
    hasher_->go_on();
    return;
  }
  on_progress();  // whatever has come is compared with what is known first
  if (stopped_) return;
  // The list may have come when the prefix was past the first stripe that it contradicts.
  stripe = std::min(stripe, trust_.hint_differs(blob_->midstates()).value_or(stripe));
  const auto sum = blob_->stripe_checksum(stripe);
  if (!sum) {  // lost meanwhile: hashed again when it comes
    hasher_->rewind(stripe);
    return;
  }
  if (!is_doubtful(stripe) || trust_.seconded(stripe, sender_of(stripe), *sum)) {
    // These bytes are upstream's own, or what two peers sent alike, so it is the list that is wrong.
    log::warn("midstates that were published contradict the bytes; going on without them",
              {{"digest", blob_->digest().to_string()}});
    trust_.drop_hint();
    clear_marks();
    hasher_->go_on();
    wake_readers();
    return;
  }
  note_retry(stripe);
  context_.observer.on_stripe_corrupt(blob_->digest(), stripe, origins_[stripe]);
  replace({stripe});
}

/// What is here needs no further check, but for that by upstream.
void BlobFetch::clear_marks() {
  for (std::uint32_t i = 0; i < blob_->geometry().stripes(); ++i) {
    if (marks_.at(i) != StripeMark::kUnchecked || !blob_->has(i)) continue;
    if (verified_ || (accepted_[i] && !unvouched(sender_of(i))))
      marks_.set(i, StripeMark::kChecked);
    else if (accepted_[i])
      await_voucher(i);
  }
}

void BlobFetch::replace(const std::vector<std::uint32_t>& stripes, bool doubted) {
  last_progress_ = now();
  for (const auto stripe : stripes) {
    const bool given = marks_.at(stripe) != StripeMark::kUnchecked;
    if (const auto sum = blob_->stripe_checksum(stripe); sum && doubted)
      trust_.doubt(stripe, answering(stripe), *sum, given);
    else if (doubted && given)
      spoil(stripe);  // evicted: what was given is not known any more
    log_->replacing(stripe, doubted);
    blob_->drop_stripe(stripe);
    marks_.set(stripe, StripeMark::kUnchecked);
    if (std::ranges::find(repairing_, stripe) == repairing_.end()) repairing_.push_back(stripe);
  }
  // After they have gone and before others can come: the hash must not take in old and new bytes of one stripe.
  if (!stripes.empty()) hasher_->rewind(std::ranges::min(stripes));
  pump();
}

/// The stripe has been dropped. Readers may have been given bytes of it that were wrong, or that nothing vouches for
/// any more: they do not get their end. Who comes from now on is given others.
void BlobFetch::spoil(std::uint32_t stripe) {
  {
    const std::lock_guard lock(mutex_);
    replaced_.emplace_back(stripe, next_reader_.load());
  }
  wake_readers();
}

void BlobFetch::start_repairs() {
  const auto is_here = [this](auto stripe) { return blob_->has(stripe) && !running_.contains(kRepairId | stripe); };
  std::erase_if(repairing_, is_here);
  // It came another way, for another node: nothing was compared.
  bool lost = false;
  for (auto& [peer, voucher] : vouchers_) {
    if (!voucher.is_probed() || !is_here(*voucher.probe)) continue;
    voucher.probe.reset();
    lost = true;
  }
  if (lost) seek_vouchers();
  if (whole_ || now() < backoff_until_) return;
  for (const auto stripe : std::vector(repairing_)) {
    if (upstream_running() >= context_.limits.upstream_slots) return;
    if (running_.contains(kRepairId | stripe)) continue;
    for (auto& [peer, voucher] : vouchers_) {
      if (voucher.probe == stripe) voucher.probe_ends = std::max(voucher.probe_ends, now() + context_.limits.probe);
    }
    if (const auto finishing = finishing_.find(stripe); finishing != finishing_.end())
      finishing->second.probe_ends = now() + context_.limits.probe;
    start({kRepairId | stripe, p2p::kUpstream, {stripe, stripe + 1}, {}, {}});
  }
}

/// False: upstream cannot be asked, fails, or could not finish this one.
bool BlobFetch::finish_by_upstream(std::uint32_t stripe) {
  if (backoff_.count() > 0 || pick_attached() == readers_.end()) return false;
  if (finishing_.try_emplace(stripe, now() + context_.limits.probe).first->second.failed) return false;
  if (std::ranges::find(repairing_, stripe) == repairing_.end()) repairing_.push_back(stripe);
  return true;
}

/// A first-hand checksum may come later than the bytes.
void BlobFetch::note_first_hand(p2p::PeerId publisher, std::uint32_t stripe, const Checksum& sum) {
  if (stripe >= blob_->geometry().stripes()) return;
  trust_.note_first_hand(publisher, stripe, sum);
  const auto actual = blob_->stripe_checksum(stripe);
  if (!actual || verified_ || !accepted_[stripe] || !is_doubtful(stripe)) return;
  if (trust_.agrees(stripe, answering(stripe), *actual, std::nullopt, marks_.at(stripe) != StripeMark::kUnchecked))
    return;
  note_retry(stripe);
  context_.observer.on_stripe_corrupt(blob_->digest(), stripe, origins_[stripe]);
  replace({stripe});
}

/// News for the machinery itself, before the strategy has them.
void BlobFetch::on_heard(const p2p::Event& event) {
  if (const auto* replied = std::get_if<p2p::Replied>(&event); replied != nullptr && replied->reply) {
    // An answer names some of them only, or none: whoever was named once stays one that has to be vouched for.
    const auto members = context_.peers->snapshot();
    for (const auto& other : replied->reply->neighbours) {
      if (members->find(other.name) == nullptr) continue;
      // Its first word counts: what it says later does not free it of being compared.
      if (wanters_.contains(other.name) || is_said_complete(other.name)) continue;
      if (other.complete)
        complete_neighbours_.push_front(other.name);
      else
        wanters_.insert(other.name);
    }
    if (replied->reply->midstates) trust_.add_hint(blob_->geometry().stripes(), *replied->reply->midstates, false);
    if (!asked_for_hints_ && !complete_neighbours_.empty()) {
      asked_for_hints_ = true;
      asio::co_spawn(context_.home, ask_for_hints(shared_from_this(), false), asio::detached);
    }
  } else if (const auto* have = std::get_if<p2p::HaveChanged>(&event)) {
    note_holder(have->peer, have->update);
    for (const auto& [stripe, hex] : have->update.sums) {
      if (const auto sum = Checksum::parse(hex)) note_first_hand(have->peer, stripe, *sum);
    }
  }
}

/// The whole did not hash to its digest, and stripes of peers are in it. True: something is being done about it.
bool BlobFetch::repair() {
  if (context_.peers == nullptr || corrupt_stripes_ >= context_.limits.corrupt_stripes_max) return false;
  if (!std::ranges::any_of(origins_, [](auto origin) { return origin != p2p::kUpstream; })) return false;
  ++corrupt_stripes_;
  if (refuse_unvouched()) return true;
  if (!std::exchange(asked_to_repair_, true)) {
    // Somebody may have hashed it already and can say where it goes wrong.
    asio::co_spawn(context_.home, ask_for_hints(shared_from_this(), true), asio::detached);
  } else {
    locate_wrong();
  }
  return true;
}

/// The blob's hash was to vouch for who sent it, and does not: everything of theirs comes again, from elsewhere.
bool BlobFetch::refuse_unvouched() {
  std::vector<std::uint32_t> stripes;
  for (auto& [peer, voucher] : vouchers_) {
    if (voucher.given || voucher.refused || std::exchange(voucher.waiting, {}).empty()) continue;
    voucher.refused = true;
    for (std::uint32_t stripe = 0; stripe < blob_->geometry().stripes(); ++stripe) {
      if (!blob_->has(stripe) || sender_of(stripe) != peer) continue;
      if (stripes.empty()) context_.observer.on_stripe_corrupt(blob_->digest(), stripe, peer);
      stripes.push_back(stripe);
    }
  }
  if (stripes.empty()) return false;
  trust_.drop_hint();  // it fits bytes that are wrong
  replace(stripes);
  return true;
}

Task<> BlobFetch::ask_for_hints(std::shared_ptr<BlobFetch> self, bool to_repair) {
  constexpr std::size_t kAsked = 3;
  // Two that agree, each by its own word, are enough: a list that only its own publisher's bytes are checked by says
  // nothing, and what a coordinator passes on may be its own.
  std::size_t lists = 0;
  std::vector<std::string> names(complete_neighbours_.begin(), complete_neighbours_.end());
  if (names.size() > kAsked) names.resize(kAsked);
  for (const auto& name : names) {
    auto states = co_await midstates_of(*context_.peers, blob_->digest(), name);
    // Its own, whatever name is written on it.
    if (!states || !trust_.add_hint(blob_->geometry().stripes(), {name, std::move(*states)}, true)) continue;
    if (++lists == 2 || to_repair) break;
  }
  if (to_repair) {
    self->locate_wrong();
    co_return;
  }
  hints_answered_ = true;
  seek_vouchers();
}

bool BlobFetch::unvouched(p2p::PeerId sender) const {
  const bool all_refused = !readers_.empty() && pick_reader() == readers_.end();
  if (sender == p2p::kNoPeer || context_.peers == nullptr || all_refused) return false;
  if (const auto voucher = vouchers_.find(sender); voucher != vouchers_.end() && voucher->second.given) return false;
  const auto snapshot = context_.peers->snapshot();
  const auto* peer = snapshot->find(sender);
  if (peer == nullptr) return vouchers_.contains(sender);
  if (peer->vetted || trust_.hint_of_another(peer->member.name)) return false;
  // Who was seen to fetch the blob has it from the same places as this node.
  if (wanters_.contains(peer->member.name)) return false;
  return is_said_complete(peer->member.name);
}

bool BlobFetch::is_said_complete(std::string_view name) const {
  return std::ranges::find(complete_neighbours_, name) != complete_neighbours_.end();
}

bool BlobFetch::any_unvouched() const {
  const auto snapshot = context_.peers == nullptr ? nullptr : context_.peers->snapshot();
  return snapshot && std::ranges::any_of(complete_neighbours_, [&](const std::string& name) {
           const auto* peer = snapshot->find(name);
           return peer != nullptr && unvouched(peer->id);
         });
}

/// Once only: what is looked at again waits already.
void BlobFetch::await_voucher(std::uint32_t stripe) {
  auto& voucher = vouchers_[sender_of(stripe)];
  if (voucher.refused) {
    drop_of_refused(stripe);
    return pump();
  }
  if (std::ranges::find(voucher.waiting, stripe) == voucher.waiting.end()) voucher.waiting.push_back(stripe);
  if (!voucher.probe) seek_vouchers();
}

bool BlobFetch::is_refused(p2p::PeerId sender) const {
  const auto voucher = vouchers_.find(sender);
  return voucher != vouchers_.end() && voucher->second.refused;
}

/// Its sender was wrong in the one that was compared.
void BlobFetch::drop_of_refused(std::uint32_t stripe) {
  const auto sum = blob_->stripe_checksum(stripe);
  if (!sum) return;
  trust_.doubt(stripe, answering(stripe), *sum, marks_.at(stripe) != StripeMark::kUnchecked);
  drop(stripe, true);
  tell(p2p::StripeLost{stripe});
}

/// A small blob whose readers all take it from its begin is soon hashed as a whole, which says more than one stripe of
/// it: then that is waited for, and nothing comes from upstream to be compared.
bool BlobFetch::waits_for_the_whole() const {
  if (blob_->geometry().blob_bytes() > context_.limits.held_whole_bytes) return false;
  if (!std::ranges::any_of(vouchers_, [](const auto& entry) { return !entry.second.waiting.empty(); })) return false;
  return std::ranges::all_of(
      readers_, [](const auto& entry) { return entry.second.wants.read_ahead && entry.second.start == 0; });
}

void BlobFetch::seek_vouchers() {
  if (readers_.empty() || !hints_answered_ || verified_) return;  // another's midstates may come yet
  if (waits_for_the_whole()) {
    pump();  // the readers' windows are all of it now
    return;
  }
  for (auto& [peer, voucher] : vouchers_) {
    if (voucher.given || voucher.refused || voucher.probe || voucher.waiting.empty()) continue;
    if (!unvouched(peer)) {
      voucher.given = true;
      release(std::exchange(voucher.waiting, {}));
      continue;
    }
    // What has gone since, or come again from elsewhere, says nothing of it.
    std::erase_if(voucher.waiting,
                  [this, sender = peer](auto one) { return sender_of(one) != sender || !blob_->stripe_checksum(one); });
    if (voucher.waiting.empty()) continue;
    const auto stripe = voucher.waiting.front();
    const auto sum = blob_->stripe_checksum(stripe);
    voucher.probe = stripe;
    voucher.probe_ends = now() + context_.limits.probe;
    voucher.sum = *sum;
    voucher.answers = sender_answers_[stripe];
    // No word against the peer: where upstream cannot be asked it may give the stripe again.
    replace({stripe}, false);
  }
}

/// Upstream is asked and does not answer: as good as refused.
void BlobFetch::end_late_probes() {
  const auto end = [this](std::uint32_t stripe, p2p::Time at) {
    const auto repair = running_.find(kRepairId | stripe);
    if (now() >= at && repair != running_.end() && !repair->second->under_way().begun) repair->second->cancel();
  };
  for (const auto& [peer, voucher] : vouchers_) {
    if (voucher.is_probed()) end(*voucher.probe, voucher.probe_ends);
  }
  for (const auto& [stripe, one] : finishing_) {
    if (!one.failed) end(stripe, one.probe_ends);
  }
}

std::optional<p2p::Time> BlobFetch::next_probe_end() const {
  std::optional<p2p::Time> next;
  const auto consider = [this, &next](p2p::Time at) {
    if (at > now()) next = std::min(next.value_or(at), at);
  };
  for (const auto& [peer, voucher] : vouchers_) {
    if (voucher.is_probed()) consider(voucher.probe_ends);
  }
  for (const auto& [stripe, one] : finishing_) {
    if (!one.failed) consider(one.probe_ends);
  }
  return next;
}

/// The stripe has come from upstream, or `compared` is false and it cannot be had there: then nothing better is known.
void BlobFetch::settle_probe(std::uint32_t stripe, bool compared) {
  for (auto& [peer, voucher] : vouchers_) {
    if (voucher.probe != stripe || !voucher.is_probed()) continue;
    auto waiting = std::exchange(voucher.waiting, {});
    std::erase(waiting, stripe);
    if (!compared || blob_->stripe_checksum(stripe) == voucher.sum) {
      voucher.given = true;
      release(waiting);
      continue;
    }
    voucher.refused = true;
    trust_.doubt(stripe, {peer, voucher.answers}, voucher.sum, false);
    context_.observer.on_stripe_corrupt(blob_->digest(), stripe, peer);
    log_->was_wrong();
    for (const auto other : waiting) {
      if (sender_of(other) == peer) drop_of_refused(other);
    }
    pump();
  }
}

/// Nobody reads any more, so nothing can be compared; and after this fetch nobody knows what was not.
std::vector<std::uint32_t> BlobFetch::drop_unvouched() {
  std::vector<std::uint32_t> dropped;
  for (auto& [peer, voucher] : vouchers_) {
    voucher.probe.reset();
    for (const auto stripe : std::exchange(voucher.waiting, {})) {
      if (voucher.given || !blob_->has(stripe) || marks_.at(stripe) != StripeMark::kUnchecked) continue;
      drop(stripe, false);
      blob_->forget_midstates(stripe + 1);  // also where the hasher does not run any more
      dropped.push_back(stripe);
    }
  }
  return dropped;
}

void BlobFetch::release(const std::vector<std::uint32_t>& stripes) {
  for (const auto stripe : stripes) {
    if (blob_->has(stripe) && marks_.at(stripe) == StripeMark::kUnchecked) clear(stripe, false);
  }
}

void BlobFetch::locate_wrong() {
  if (verified_ || stopped_) return;
  const auto last = blob_->geometry().stripes() - 1;
  // Where all agree to the end the last stripe is the one, or all of them are wrong together: then it is upstream's
  // by the next time.
  const auto at = trust_.any_differs(blob_->midstates()).value_or(trust_.has_hint() ? last : last + 1);
  trust_.drop_hint();  // the bytes were cleared by it, or it says what they are not: either way it has had its say
  std::vector<std::uint32_t> doubtful;
  if (at <= last && is_doubtful(at)) {
    note_retry(at);
    context_.observer.on_stripe_corrupt(blob_->digest(), at, origins_[at]);
    doubtful = {at};
  } else {
    for (std::uint32_t stripe = 0; stripe <= last; ++stripe) {
      if (is_doubtful(stripe)) doubtful.push_back(stripe);
    }
  }
  replace(doubtful);
  clear_marks();
  wake_readers();
}

/// The blob has verified: its bytes are the truth, and whoever said or sent otherwise is named.
void BlobFetch::reckon() {
  if (context_.peers == nullptr) return;
  auto verdict = trust_.verdict(*blob_);
  for (const auto& served : std::exchange(served_, {})) {
    if (std::ranges::find(verdict.senders, served.peer) == verdict.senders.end() &&
        std::ranges::find(verdict.passed_on, served.peer) == verdict.passed_on.end())
      context_.peers->served_well(served.peer, served.first_byte_ms, served.bytes_per_second);
  }
  for (const auto peer : verdict.senders) context_.peers->sent_bad(peer, "its bytes were not the blob's");
  for (const auto& name : verdict.publishers) context_.peers->published_bad(name, kFalseList);
  if (!verdict.said_to_publish.empty()) {
    asio::co_spawn(context_.home, ask_who_published(shared_from_this(), std::move(verdict.said_to_publish)),
                   asio::detached);
  }
  const std::lock_guard lock(mutex_);
  for (const auto stripe : verdict.replaced) replaced_.emplace_back(stripe, next_reader_.load());
}

/// A coordinator said that they published false lists; it may have made them itself. Blamed is who gives one now.
Task<> BlobFetch::ask_who_published(std::shared_ptr<BlobFetch> self, std::vector<std::string> names) {
  const auto own = self->blob_->midstates();
  for (const auto& name : names) {
    const auto states = co_await midstates_of(*self->context_.peers, self->blob_->digest(), name);
    if (states && first_difference(own, *states)) self->context_.peers->published_bad(name, kFalseList);
  }
}

}  // namespace oxbow::mirror

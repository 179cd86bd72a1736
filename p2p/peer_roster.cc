// From a membership view and what hellos have told to the table's entries: who is who, who has left.
#include <algorithm>
#include <map>
#include <unordered_set>

#include "core/log.h"
#include "p2p/peer_entry.h"

namespace oxbow::p2p {
namespace {

constexpr std::size_t kAliasesMax = 16;  ///< of an entry; a note under an older one is ignored

void append_missing(std::vector<std::string>& to, const std::vector<std::string>& from) {
  for (const auto& address : from) {
    if (std::ranges::find(to, address) == to.end()) to.push_back(address);
  }
}

/// A second mention of a member adds what the first did not know.
void merge(Member& into, const Member& member) {
  append_missing(into.addresses, member.addresses);
  if (into.location.empty()) into.location = member.location;
  if (into.weight == Member{}.weight) into.weight = member.weight;
}

}  // namespace

std::string PeerTable::name_for(const Member& member) const {
  if (!member.name.empty()) return member.name;
  for (const auto& address : member.addresses) {
    if (std::ranges::find(self_.addresses, address) != self_.addresses.end()) return self_.name;
    if (const auto it = name_at_.find(address); it != name_at_.end()) return it->second;
  }
  return {};
}

/// Whoever membership or a hello says is there.
std::string PeerTable::known_at(const std::string& address) const {
  for (const auto& member : view_) {
    if (std::ranges::find(member.addresses, address) == member.addresses.end()) continue;
    if (auto name = name_for(member); !name.empty()) return name;
  }
  return {};
}

PeerTable::EntryPtr PeerTable::find(PeerId peer) const {
  const auto it = by_id_.find(peer);
  return it == by_id_.end() ? nullptr : it->second;
}

PeerTable::EntryPtr PeerTable::find(const std::string& name, const std::string& address) const {
  if (const auto it = entries_.find(name); it != entries_.end() && !it->second->departed) return it->second;
  for (const auto& [first, entry] : unnamed_) {
    const auto& addresses = entry->from_view.addresses;
    if (std::ranges::find(addresses, address) != addresses.end()) return entry;
  }
  return nullptr;
}

const Member* PeerTable::named_by_view(const std::string& address) const {
  for (const auto& member : view_) {
    if (!member.name.empty() && std::ranges::find(member.addresses, address) != member.addresses.end()) return &member;
  }
  return nullptr;
}

bool PeerTable::in_view(const std::string& address) const {
  return std::ranges::any_of(view_, [&](const Member& member) {
    return std::ranges::find(member.addresses, address) != member.addresses.end();
  });
}

PeerTable::EntryPtr PeerTable::make_entry(Now now) {
  auto entry = std::make_shared<Entry>(next_id_++, now);
  by_id_.emplace(entry->id, entry);
  return entry;
}

PeerTable::EntryPtr PeerTable::entry_for(const std::string& name, const std::vector<std::string>& addresses, Now now) {
  if (const auto it = entries_.find(name); it != entries_.end()) return it->second;
  EntryPtr entry;
  for (const auto& address : addresses) {
    if (const auto it = unnamed_.find(address); it != unnamed_.end()) {
      entry = std::move(it->second);
      unnamed_.erase(it);
      break;
    }
  }
  if (entry == nullptr) entry = make_entry(now);
  entry->name = name;
  entries_.emplace(name, entry);
  return entry;
}

void PeerTable::adopt_unnamed(const EntryPtr& entry, const std::vector<std::string>& addresses) {
  for (const auto& address : addresses) {
    const auto it = unnamed_.find(address);
    if (it == unnamed_.end()) continue;
    const EntryPtr other = std::move(it->second);
    unnamed_.erase(it);
    entry->health.merge(other->health);
    if (!entry->facts) entry->facts = other->facts;
    entry->aliases.push_back(other->id);
    by_id_[other->id] = entry;
    if (entry->aliases.size() > kAliasesMax) {
      by_id_.erase(entry->aliases.front());
      entry->aliases.erase(entry->aliases.begin());
    }
  }
}

void PeerTable::keep_unnamed(const std::vector<Member>& unnamed, Now now) {
  std::unordered_map<std::string, EntryPtr> kept;
  for (const auto& member : unnamed) {
    const auto& first = member.addresses.front();
    if (kept.contains(first)) continue;
    const auto it = unnamed_.find(first);
    EntryPtr entry = it == unnamed_.end() ? make_entry(now) : std::move(it->second);
    if (it != unnamed_.end()) unnamed_.erase(it);
    entry->from_view = member;
    kept.emplace(first, std::move(entry));
  }
  for (const auto& [address, entry] : unnamed_) drop_ids(*entry);
  unnamed_ = std::move(kept);
}

void PeerTable::apply_view(Now now) {
  for (const auto& member : view_) {  // who is named speaks for the same addresses without a name
    if (member.name.empty()) continue;
    for (const auto& address : member.addresses) name_at_[address] = member.name;
  }
  std::map<std::string, Member> named;  // in the order of the snapshot
  std::map<std::string, bool> from_view;
  std::vector<Member> unnamed;
  named.emplace(self_.name, self_);
  for (const auto& member : view_) {
    const auto name = name_for(member);
    if (name.empty()) {
      if (!member.addresses.empty()) unnamed.push_back(member);
      continue;
    }
    const auto [it, added] = named.try_emplace(name, member);
    if (!added) merge(it->second, member);
    it->second.name = name;
    from_view[name] |= !member.name.empty();
  }
  own_location_ = named.at(self_.name).location;
  order_.clear();
  for (auto& [name, member] : named) {
    const auto entry = entry_for(name, member.addresses, now);
    adopt_unnamed(entry, member.addresses);
    entry->self = name == self_.name;
    entry->from_view = std::move(member);
    entry->name_from_view = from_view[name];
    entry->departed.reset();
    order_.push_back(entry);
  }
  for (auto& [name, entry] : entries_) {
    if (!entry->departed && !named.contains(name)) entry->departed = now;
  }
  keep_unnamed(unnamed, now);
  members_changed_ = false;
  index_.reset();
}

void PeerTable::forget_addresses() {
  std::unordered_set<std::string_view> listed;
  for (const auto& member : view_) listed.insert(member.addresses.begin(), member.addresses.end());
  std::erase_if(name_at_, [&](const auto& known) { return !listed.contains(known.first); });
}

void PeerTable::drop_ids(const Entry& entry) {
  by_id_.erase(entry.id);
  for (const auto alias : entry.aliases) by_id_.erase(alias);
}

void PeerTable::forget_departed(Now now) {
  std::vector<EntryPtr> departed;
  for (const auto& [name, entry] : entries_) {
    if (entry->departed) departed.push_back(entry);
  }
  const auto forget = [&](const EntryPtr& entry) {
    drop_ids(*entry);
    entries_.erase(entry->name);
  };
  // Who is suspended is remembered longest: leaving and coming back is no way out.
  const auto lasts = [&](const EntryPtr& entry) {
    return std::max(*entry->departed + options_.forget_after, entry->health.suspended_until());
  };
  std::erase_if(departed, [&](const EntryPtr& entry) {
    if (now < lasts(entry)) return false;
    forget(entry);
    return true;
  });
  if (departed.size() <= options_.members_max) return;
  members_limit_.Increment();
  const auto excess = static_cast<std::ptrdiff_t>(departed.size() - options_.members_max);
  std::ranges::nth_element(departed, departed.begin() + excess, {}, lasts);
  std::for_each(departed.begin(), departed.begin() + excess, forget);
}

}  // namespace oxbow::p2p

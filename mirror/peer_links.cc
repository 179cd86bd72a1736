#include "mirror/peer_links.h"

namespace oxbow::mirror {
namespace {

Task<> ask(FetchPeers& peers, p2p::Send message, std::function<void(Result<p2p::AnnounceReply>)> done) {
  done(co_await peers.announce(message.peer, std::move(message.announce), message.quiet));
}

}  // namespace

PeerLinks::PeerLinks(FetchPeers& peers, Loop& home, const Digest& digest, std::uint32_t stripes, Tell tell)
    : peers_(peers),
      home_(home),
      digest_(digest),
      stripes_(stripes),
      tell_(std::move(tell)),
      alive_(std::make_shared<Alive>(this)) {}

PeerLinks::~PeerLinks() {
  subscription_.reset();
  alive_->links = nullptr;
}

void PeerLinks::start() {
  subscription_ = peers_.on_change([alive = alive_, &home = home_] {
    asio::post(home, [alive] {
      if (alive->links != nullptr) alive->links->peers_changed();
    });
  });
  peers_changed();
}

void PeerLinks::peers_changed() { tell_(p2p::PeersChanged{peers_.snapshot()}); }

void PeerLinks::send(p2p::Send message) {
  message.announce.digest = digest_;
  auto done = [alive = alive_, peer = message.peer, question = message.question](Result<p2p::AnnounceReply> reply) {
    if (alive->links != nullptr) alive->links->tell_(p2p::Replied{peer, std::move(reply), question});
  };
  asio::co_spawn(home_, ask(peers_, std::move(message), std::move(done)), asio::detached);
}

void PeerLinks::watch(p2p::PeerId peer) {
  if (watches_.contains(peer)) return;
  auto on_update = [alive = alive_, peer](p2p::HaveUpdate update) {
    if (alive->links != nullptr) alive->links->tell_(p2p::HaveChanged{peer, std::move(update)});
  };
  const auto number = ++last_watch_;
  auto on_end = [alive = alive_, peer, number, &home = home_](Error why) {
    // Posted: the call must not be destroyed from within its own callback. By then the peer may be watched anew.
    asio::post(home, [alive, peer, number, why = std::move(why)] {
      if (alive->links == nullptr) return;
      auto& watches = alive->links->watches_;
      const auto ended = watches.find(peer);
      if (ended == watches.end() || ended->second.number != number) return;
      watches.erase(ended);
      alive->links->tell_(p2p::HaveEnded{peer, why});
    });
  };
  auto call = peers_.client().watch_have(peer, digest_, stripes_, home_, std::move(on_update), std::move(on_end));
  watches_[peer] = {number, std::move(call)};
}

void PeerLinks::unwatch(p2p::PeerId peer) { watches_.erase(peer); }

}  // namespace oxbow::mirror

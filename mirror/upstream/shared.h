// What all exchanges of one registry share, over all loops. Private to the upstream client.
// Thread rule: each part brings its own lock; the rest is constant.
#pragma once

#include "mirror/upstream/authenticator.h"
#include "mirror/upstream/bandwidth.h"
#include "mirror/upstream/endpoint.h"
#include "mirror/upstream/exchange.h"
#include "mirror/upstream/location_cache.h"
#include "mirror/upstream/slots.h"
#include "mirror/upstream/upstream.h"

namespace oxbow::mirror::upstream {

struct Registry::Shared {
  Shared(UpstreamConfig configured, Services given);

  const UpstreamConfig config;
  const Services services;
  const Transport transport;
  std::vector<std::shared_ptr<Endpoint>> endpoints;
  std::shared_ptr<Slots> slots;
  Bandwidth bandwidth;
  LocationCache locations;
  std::shared_ptr<Authenticator> authenticator;
  Counter& body_bytes;
  prometheus::Family<Counter>& requests;
};

}  // namespace oxbow::mirror::upstream

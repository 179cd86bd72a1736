#include "mirror/upstream/location_cache.h"

#include "mirror/upstream/http_values.h"

namespace oxbow::mirror::upstream {

std::optional<std::string> LocationCache::find(const std::string& key) {
  std::lock_guard lock(mutex_);
  const auto* found = locations_.find(key);
  if (found == nullptr) return std::nullopt;
  if (clock_.steady() < found->until) return found->url;
  locations_.erase(key);
  return std::nullopt;
}

void LocationCache::remember(const std::string& key, std::string url) {
  const auto life = location_lifetime(url, clock_.wall());
  if (!life) return;
  std::lock_guard lock(mutex_);
  locations_.put(key, {std::move(url), clock_.steady() + *life});
}

void LocationCache::forget(const std::string& key) {
  std::lock_guard lock(mutex_);
  locations_.erase(key);
}

}  // namespace oxbow::mirror::upstream

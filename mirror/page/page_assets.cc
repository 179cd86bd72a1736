#include "mirror/page/page_assets.h"

#include "core/error.h"

namespace oxbow::mirror {

std::string_view page_type(std::string_view name) {
  if (name.ends_with(".html")) return "text/html; charset=utf-8";
  if (name.ends_with(".css")) return "text/css; charset=utf-8";
  if (name.ends_with(".js")) return "text/javascript; charset=utf-8";
  OXBOW_INVARIANT(name.ends_with(".svg"));
  return "image/svg+xml";
}

}  // namespace oxbow::mirror

// Property: whatever stands in config.json, a helper's answer, a provider's configuration or its answer, parsing ends
// with a credential, none, or an error; and a configuration never names a program outside its directory.
#include <cstdlib>

#include "mirror/upstream/credential_files.h"
#include "mirror/upstream/credential_programs.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace oxbow::mirror::upstream;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (const auto* url : {"https://registry-1.docker.io", "http://127.0.0.1:5000"})
    (void)parse_docker_config(text, url);
  (void)parse_docker_config(R"({"auths":{"a.io":{"auth":"YTpi"}}})", text);
  (void)parse_helper_answer(text);
  (void)parse_kubelet_answer(text, "r.io/a", std::chrono::seconds(1));
  if (const auto providers = parse_kubelet_config(text)) {
    for (const auto& provider : *providers) {
      if (provider.name.empty() || provider.name.contains('/')) std::abort();
      for (const auto& pattern : provider.match_images) (void)matches_image(pattern, "r.io:5000/a/b");
    }
  }
  (void)matches_image(text, "r.io:5000/a/b");
  (void)matches_image("*.r.io", text);
  return 0;
}

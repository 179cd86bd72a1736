#include "core/digest.h"

#include <openssl/evp.h>

#include <cstdlib>

#include "core/encoding.h"

namespace oxbow {
namespace {

// algorithm ::= component (separator component)*; component ::= [a-z0-9]+; separator ::= [+._-]
bool is_algorithm(std::string_view text) {
  bool component = false;
  for (const char c : text) {
    if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) {
      component = true;
    } else if ((c == '+' || c == '.' || c == '_' || c == '-') && component) {
      component = false;
    } else {
      return false;
    }
  }
  return component;
}

bool is_encoded(std::string_view text) {
  if (text.empty()) return false;
  for (const char c : text) {
    const bool ok =
        (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '=' || c == '_' || c == '-';
    if (!ok) return false;
  }
  return true;
}

}  // namespace

Result<Digest> Digest::parse(std::string_view text) {
  // 16 + 1 + 512 is beyond every registered algorithm; longer text is not copied into an error either.
  const auto colon = text.find(':');
  if (text.size() > 600 || colon == std::string_view::npos) return fail(Errc::kInvalid, "not a digest");
  const auto algorithm = text.substr(0, colon);
  const auto encoded = text.substr(colon + 1);
  if (!is_algorithm(algorithm) || !is_encoded(encoded)) return fail(Errc::kInvalid, "not a digest");
  Digest digest;
  std::size_t length = 0;
  if (algorithm == "sha256") {
    digest.algorithm_ = Algorithm::kSha256;
    length = 32;
  } else if (algorithm == "sha512") {
    digest.algorithm_ = Algorithm::kSha512;
    length = 64;
  } else {
    return fail(Errc::kUnsupported, "digest algorithm " + std::string(algorithm) + " is not supported");
  }
  const auto bytes = from_hex(encoded);
  if (!bytes || bytes->size() != length)
    return fail(Errc::kInvalid, "not a digest: wrong length or not lower-case hex");
  std::copy(bytes->begin(), bytes->end(), digest.bytes_.begin());
  return digest;
}

Digest Digest::from_bytes(Algorithm algorithm, std::span<const std::byte> bytes) {
  Digest digest;
  digest.algorithm_ = algorithm;
  OXBOW_INVARIANT(bytes.size() == digest.bytes().size());
  std::copy(bytes.begin(), bytes.end(), digest.bytes_.begin());
  return digest;
}

Digest Digest::of(Algorithm algorithm, std::span<const std::byte> content) {
  Digest digest;
  digest.algorithm_ = algorithm;
  const EVP_MD* md = algorithm == Algorithm::kSha256 ? EVP_sha256() : EVP_sha512();
  unsigned length = 0;
  const int ok = EVP_Digest(content.data(), content.size(), reinterpret_cast<unsigned char*>(digest.bytes_.data()),
                            &length, md, nullptr);
  OXBOW_INVARIANT(ok == 1 && length == digest.bytes().size());
  return digest;
}

Digest Digest::sha256(std::span<const std::byte> content) { return of(Algorithm::kSha256, content); }

std::string Digest::hex() const { return to_hex(bytes()); }

std::string Digest::to_string() const { return (algorithm_ == Algorithm::kSha256 ? "sha256:" : "sha512:") + hex(); }

}  // namespace oxbow

// Keys, and the PEM forms of certificate.h.
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "core/tls/certificate.h"
#include "core/tls/openssl_error.h"

namespace oxbow::tls {
namespace {

constexpr std::size_t kCertificatesLimit = 64;

struct BioDeleter {
  void operator()(BIO* bio) const noexcept { BIO_free(bio); }
};
using Bio = std::unique_ptr<BIO, BioDeleter>;

Bio reader(std::string_view text) { return Bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size()))); }

std::string content(BIO* bio) {
  char* bytes = nullptr;
  const long size = BIO_get_mem_data(bio, &bytes);
  return {bytes, static_cast<std::size_t>(size)};
}

/// Never asks at the terminal: an encrypted key is an error.
int no_password(char*, int, int, void*) { return -1; }

}  // namespace

void KeyDeleter::operator()(EVP_PKEY* key) const noexcept { EVP_PKEY_free(key); }

Result<Key> generate_key() {
  ERR_clear_error();
  Key key(EVP_EC_gen("P-256"));
  if (!key) return openssl_failure(Errc::kIo, "make a key");
  return key;
}

Result<std::string> to_pem(EVP_PKEY& key) {
  const Bio out(BIO_new(BIO_s_secmem()));  // its buffer is wiped when it is freed
  if (!out || PEM_write_bio_PKCS8PrivateKey(out.get(), &key, nullptr, nullptr, 0, nullptr, nullptr) != 1)
    return openssl_failure(Errc::kIo, "write a key");
  return content(out.get());
}

Result<Key> parse_key(std::string_view pem) {
  ERR_clear_error();
  const Bio in = reader(pem);
  Key key(in ? PEM_read_bio_PrivateKey(in.get(), nullptr, no_password, nullptr) : nullptr);
  if (!key) return openssl_failure(Errc::kInvalid, "read a private key (PEM, without a password)");
  return key;
}

Result<std::string> to_pem(X509& certificate) {
  const Bio out(BIO_new(BIO_s_mem()));
  if (!out || PEM_write_bio_X509(out.get(), &certificate) != 1)
    return openssl_failure(Errc::kIo, "write a certificate");
  return content(out.get());
}

Result<std::vector<Certificate>> parse_certificates(std::string_view pem) {
  ERR_clear_error();
  const Bio in = reader(pem);
  std::vector<Certificate> out;
  while (in && out.size() < kCertificatesLimit) {
    Certificate next(PEM_read_bio_X509(in.get(), nullptr, no_password, nullptr));
    if (!next) break;
    out.push_back(std::move(next));
  }
  // The end of the text is reported as an error too; it is none once there was a certificate.
  const auto last = ERR_peek_last_error();
  const bool at_end = ERR_GET_LIB(last) == ERR_LIB_PEM && ERR_GET_REASON(last) == PEM_R_NO_START_LINE;
  if (out.empty() || (last != 0 && !at_end)) return openssl_failure(Errc::kInvalid, "read a PEM certificate");
  ERR_clear_error();
  return out;
}

Result<Key> public_key_of(X509& certificate) {
  Key key(X509_get_pubkey(&certificate));
  if (!key) return openssl_failure(Errc::kInvalid, "read a certificate's key");
  return key;
}

bool belongs_to(EVP_PKEY& key, X509& certificate) {
  const EVP_PKEY* own = X509_get0_pubkey(&certificate);
  return own != nullptr && EVP_PKEY_eq(&key, own) == 1;
}

}  // namespace oxbow::tls

#include "tls_support.h"

#include <gtest/gtest.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>

namespace oxbow::http::test {
namespace {

std::shared_ptr<EVP_PKEY> make_key() { return {EVP_EC_gen("P-256"), EVP_PKEY_free}; }

void add_extension(X509* certificate, X509* issuer, int kind, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, kind, value.c_str());
  X509_add_ext(certificate, extension, -1);
  X509_EXTENSION_free(extension);
}

std::shared_ptr<X509> make_certificate(EVP_PKEY* key, const std::string& common_name, long serial) {
  std::shared_ptr<X509> certificate(X509_new(), X509_free);
  X509_set_version(certificate.get(), 2);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), serial);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -3600);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), 86'400);
  X509_set_pubkey(certificate.get(), key);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate.get()), "CN", MBSTRING_UTF8,
                             reinterpret_cast<const unsigned char*>(common_name.c_str()), -1, -1, 0);
  return certificate;
}

void write_files(const std::string& stem, X509* certificate, EVP_PKEY* key) {
  FILE* pem = std::fopen((stem + ".pem").c_str(), "w");
  PEM_write_X509(pem, certificate);
  std::fclose(pem);
  FILE* secret = std::fopen((stem + ".key").c_str(), "w");
  PEM_write_PrivateKey(secret, key, nullptr, nullptr, 0, nullptr, nullptr);
  std::fclose(secret);
}

}  // namespace

Certificates::Certificates() {
  std::string pattern = (std::filesystem::temp_directory_path() / "oxbow-tls-XXXXXX").string();
  directory_ = ::mkdtemp(pattern.data());
  ca_key_ = make_key();
  ca_ = make_certificate(ca_key_.get(), "test CA", serial_++);
  X509_set_issuer_name(ca_.get(), X509_get_subject_name(ca_.get()));
  add_extension(ca_.get(), ca_.get(), NID_basic_constraints, "critical,CA:TRUE");
  add_extension(ca_.get(), ca_.get(), NID_subject_key_identifier, "hash");  // all CAs here have one name
  X509_sign(ca_.get(), ca_key_.get(), EVP_sha256());
  write_files(file("ca"), ca_.get(), ca_key_.get());
  issue("server", "localhost", "localhost");
}

Certificates::~Certificates() {
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
}

void Certificates::issue(const std::string& name, const std::string& common_name, const std::string& dns_name,
                         long valid_s) {
  const auto key = make_key();
  const auto certificate = make_certificate(key.get(), common_name, serial_++);
  X509_set_issuer_name(certificate.get(), X509_get_subject_name(ca_.get()));
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), valid_s - 3'600);
  add_extension(certificate.get(), ca_.get(), NID_authority_key_identifier, "keyid:always");
  if (!dns_name.empty()) add_extension(certificate.get(), ca_.get(), NID_subject_alt_name, "DNS:" + dns_name);
  X509_sign(certificate.get(), ca_key_.get(), EVP_sha256());
  write_files(file(name), certificate.get(), key.get());
}

TlsConfig Certificates::server(bool ask_clients) const {
  return {file("server.pem"), file("server.key"), ask_clients ? file("ca.pem") : std::string()};
}

Channel::Channel(std::uint16_t port) : socket_(port) {}

Channel::Channel(std::uint16_t port, const Tls& tls) : socket_(port) {
  context_ = {SSL_CTX_new(TLS_client_method()), SSL_CTX_free};
  if (!tls.ca_file.empty()) {
    SSL_CTX_load_verify_file(context_.get(), tls.ca_file.c_str());
    SSL_CTX_set_verify(context_.get(), SSL_VERIFY_PEER, nullptr);
  }
  if (!tls.certificate_file.empty()) {
    SSL_CTX_use_certificate_chain_file(context_.get(), tls.certificate_file.c_str());
    SSL_CTX_use_PrivateKey_file(context_.get(), tls.key_file.c_str(), SSL_FILETYPE_PEM);
  }
  std::string protocols;
  for (const auto& name : tls.alpn) protocols += static_cast<char>(name.size()) + name;
  if (!protocols.empty()) {
    SSL_CTX_set_alpn_protos(context_.get(), reinterpret_cast<const unsigned char*>(protocols.data()),
                            static_cast<unsigned>(protocols.size()));
  }
  ssl_ = SSL_new(context_.get());
  SSL_set_fd(ssl_, socket_.fd());
  connected_ = SSL_connect(ssl_) == 1;
  ERR_clear_error();
}

Channel::~Channel() { close(); }

void Channel::close() {
  SSL_free(ssl_);
  ssl_ = nullptr;
  socket_.close();
}

std::string Channel::alpn() const {
  const unsigned char* name = nullptr;
  unsigned length = 0;
  SSL_get0_alpn_selected(ssl_, &name, &length);
  return {reinterpret_cast<const char*>(name), length};
}

std::string Channel::server_name() const {
  X509* certificate = SSL_get0_peer_certificate(ssl_);
  std::array<char, 256> name{};
  X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, name.data(), name.size());
  return name.data();
}

bool Channel::write(std::string_view bytes) {
  if (ssl_ != nullptr) return SSL_write(ssl_, bytes.data(), static_cast<int>(bytes.size())) > 0;
  socket_.send(bytes);
  return true;
}

std::string Channel::read() {
  std::string chunk(65'536, '\0');
  const auto got = ssl_ != nullptr ? SSL_read(ssl_, chunk.data(), static_cast<int>(chunk.size()))
                                   : static_cast<int>(::recv(socket_.fd(), chunk.data(), chunk.size(), 0));
  ERR_clear_error();
  chunk.resize(static_cast<std::size_t>(std::max(got, 0)));
  return chunk;
}

std::string Channel::read_all() {
  std::string all;
  for (;;) {
    const auto part = read();
    if (part.empty()) return all;
    all += part;
  }
}

bool Channel::wait_readable(int ms) {
  if (ssl_ != nullptr && SSL_pending(ssl_) > 0) return true;
  pollfd watched{socket_.fd(), POLLIN, 0};
  return ::poll(&watched, 1, ms) == 1;
}

}  // namespace oxbow::http::test

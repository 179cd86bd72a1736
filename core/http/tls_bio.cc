#include "core/http/tls_bio.h"

#include <openssl/bio.h>
#include <openssl/ssl.h>

#include <cerrno>

#include "core/http/transport.h"

namespace oxbow::http {
namespace {

Transport& transport_of(BIO* bio) { return *static_cast<Transport*>(BIO_get_data(bio)); }

int bio_write(BIO* bio, const char* bytes, int length) {
  BIO_clear_retry_flags(bio);
  const int sent = transport_of(bio).socket_write(bytes, length);
  if (sent < 0 && (errno == EAGAIN || errno == EINTR)) BIO_set_retry_write(bio);
  return sent;
}

int bio_read(BIO* bio, char* into, int length) {
  BIO_clear_retry_flags(bio);
  const int got = transport_of(bio).socket_read(into, length);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) BIO_set_retry_read(bio);
  return got;
}

long bio_control(BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1 : 0; }

BIO_METHOD* make_method() {
  BIO_METHOD* method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "oxbow socket");
  BIO_meth_set_write(method, bio_write);
  BIO_meth_set_read(method, bio_read);
  BIO_meth_set_ctrl(method, bio_control);
  return method;
}

}  // namespace

void attach_socket_bio(SSL* ssl, Transport& transport) {
  static BIO_METHOD* const method = make_method();  // a constant table, as OpenSSL's own methods are
  BIO* bio = BIO_new(method);
  BIO_set_data(bio, &transport);
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl, bio, bio);
}

}  // namespace oxbow::http

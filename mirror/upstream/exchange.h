// One HTTP exchange by libcurl, redirects included: a request goes out, the final response's head and body come in.
// Knows nothing of registries. Private to the upstream client.
// Thread rule: the CurlLoop's loop. Destroying an Exchange, also from inside its callbacks, ends it at once.
#pragma once

#include <curl/curl.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/http/headers.h"
#include "mirror/upstream/curl_loop.h"

namespace oxbow::mirror::upstream {

/// What the operator configured about the way to a registry.
struct Transport {
  std::string user_agent;
  std::string ca_file;
  std::string client_certificate;
  std::string client_key;
  std::string proxy;
  long connect_timeout_ms = 5'000;
  bool allow_private_addresses = true;
  bool allow_redirect_to_http = false;
};

struct Outgoing {
  std::string url;
  http::Method method = http::Method::kGet;  // GET, HEAD or POST
  http::Headers headers;
  std::string form;  ///< POST
  bool follow_redirects = true;
  bool allow_http2 = false;
  bool large_body = false;
};

struct Incoming {
  int status = 0;
  http::Headers headers;
  std::string effective_url;
};

/// How an exchange without an HTTP answer, or with half of one, ended.
struct Ending {
  CURLcode code = CURLE_OK;
  /// What a person reads; no query strings, no credentials.
  std::string text;
  bool refused_address = false;
  bool refused_redirect = false;
  bool ok() const noexcept { return code == CURLE_OK; }
};

class ExchangeEvents {
 public:
  virtual ~ExchangeEvents() = default;
  /// The final head (not of 1xx and followed redirects). From inside libcurl.
  virtual void on_incoming(Incoming incoming) = 0;
  /// False pauses, and the same bytes come again after `unpause`. From inside libcurl.
  virtual bool on_bytes(std::string_view bytes) = 0;
  virtual void on_ending(Ending ending) = 0;
};

class Exchange {
 public:
  Exchange(std::shared_ptr<CurlLoop::Core> core, const Transport& transport, Outgoing outgoing, ExchangeEvents& events);
  ~Exchange();
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;

  void start();
  void unpause();

  class Handle;

 private:
  std::shared_ptr<CurlLoop::Core> core_;
  std::shared_ptr<Handle> handle_;
};

}  // namespace oxbow::mirror::upstream

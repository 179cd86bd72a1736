#include "core/http/handler.h"

namespace oxbow::http {

Response Response::text(int status, std::string content_type, std::string content) {
  Response response;
  response.status = status;
  response.headers.add("Content-Type", std::move(content_type));
  response.content_length = content.size();
  response.body = std::make_unique<StringBody>(std::move(content));
  return response;
}

}  // namespace oxbow::http

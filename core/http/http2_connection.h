// HTTP/2 on a connection: moves bytes between the socket and an Http2Session, and keeps its deadlines.
#pragma once

#include <memory>

#include "core/http/connection.h"

namespace oxbow::http {

std::unique_ptr<Protocol> make_http2(Connection& connection);

}  // namespace oxbow::http

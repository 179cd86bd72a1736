// HTTP/1.1 on a connection: one request at a time, pipelined ones in order.
#pragma once

#include <memory>

#include "core/http/connection.h"

namespace oxbow::http {

std::unique_ptr<Protocol> make_http1(Connection& connection);

}  // namespace oxbow::http

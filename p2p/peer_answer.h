// Answers of the peer service that are not stripes. Thread rule: pure functions.
#pragma once

#include <string>
#include <string_view>

#include "core/error.h"
#include "core/http/handler.h"

namespace oxbow::p2p {

http::Response json_answer(std::string json);
/// `{"errors":[{"code","message"}]}`, as OCI clients know it.
http::Response error_answer(int status, std::string_view code, std::string_view message);
http::Response error_answer(const Error& error);

}  // namespace oxbow::p2p

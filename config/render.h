// The two files that are made from the schema: config/oxbow.toml and docs/configuration.md. A unit test compares them
// with what is committed. Thread rule: pure functions.
#pragma once

#include <string>

namespace oxbow::config {

/// Every option, commented out, with its help, unit and default: a file that changes nothing until it is edited.
std::string example_toml();
std::string reference_markdown();

}  // namespace oxbow::config

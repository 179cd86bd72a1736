// The files of the web page, which the build put into the binary (embed.cmake).
// Thread rule: constants.
#pragma once

#include <span>
#include <string_view>

namespace oxbow::mirror {

struct PageFile {
  std::string_view name;  ///< "app.js"
  std::string_view etag;  ///< quoted; another one for other content
  std::string_view content;
};

/// All of them, by name.
std::span<const PageFile> page_files() noexcept;

/// The Content-Type of a file, by the end of its name. An unknown end is a broken invariant: browsers are told not to
/// guess, and refuse a script of the wrong type.
std::string_view page_type(std::string_view name);

}  // namespace oxbow::mirror

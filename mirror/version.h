// The version, from the build.
#pragma once

namespace oxbow::mirror {

inline constexpr const char* kVersion = OXBOW_VERSION;

}  // namespace oxbow::mirror

// The command line.
#pragma once

namespace oxbow::mirror {

/// Returns the exit code: 0 done, 1 failed, 2 the configuration or the arguments are wrong, 130 interrupted (`sim`).
int run_cli(int argc, char** argv);

}  // namespace oxbow::mirror

// Runs a program with some input and takes what it prints. Blocking: on the WorkPool.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "core/error.h"

namespace oxbow::mirror::upstream {

struct ProgramOutput {
  int exit_code = 0;
  std::string output;
};

/// `arguments[0]` is the program, looked up in PATH when it holds no '/'. `extra_environment` (NAME=value) goes on top
/// of ours. stderr is dropped; stdout may be 1 MiB. The program gets its own process group, which is killed when time
/// is up. Errors: kUnavailable (cannot run), kTimeout, kLimit.
Result<ProgramOutput> run_program(const std::vector<std::string>& arguments,
                                  const std::vector<std::string>& extra_environment, const std::string& input,
                                  std::chrono::milliseconds timeout);

}  // namespace oxbow::mirror::upstream

// A sub-command of `oxbow` from its arguments to what it prints and how it ends.
#pragma once

#include <gtest/gtest.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <functional>
#include <sstream>
#include <string>
#include <vector>

namespace oxbow::mirror {

struct Outcome {
  int code = -1;
  std::string out, errors;
};

/// `app` has the sub-command `name`; `run` gets the files for output and errors, and gives the exit code.
inline Outcome run_command(CLI::App& app, const char* name, std::vector<std::string> arguments,
                           const std::function<int(std::FILE*, std::FILE*)>& run) {
  Outcome out;
  try {
    std::ranges::reverse(arguments);  // as CLI11 takes a vector
    arguments.emplace_back(name);
    app.parse(arguments);
  } catch (const CLI::ParseError& wrong) {
    std::ostringstream said, complained;
    out.code = app.exit(wrong, said, complained) == 0 ? 0 : 2;
    out.out = said.str();
    out.errors = complained.str();
    return out;
  }
  EXPECT_TRUE(app.got_subcommand(name));
  const auto content = [](std::FILE* file) {
    std::rewind(file);
    std::string text;
    for (int c = std::fgetc(file); c != EOF; c = std::fgetc(file)) text += static_cast<char>(c);
    std::fclose(file);
    return text;
  };
  std::FILE* said = std::tmpfile();
  std::FILE* complained = std::tmpfile();
  out.code = run(said, complained);
  out.out = content(said);
  out.errors = content(complained);
  return out;
}

}  // namespace oxbow::mirror

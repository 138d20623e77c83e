// SPDX-License-Identifier: Apache-2.0
//
// What the tests of cross-compiled packages share.
#ifndef LFMC_TESTS_E2E_CROSS_H
#define LFMC_TESTS_E2E_CROSS_H

#include "Shell.h"

#include <cctype>
#include <cstring>
#include <fstream>
#include <vector>

inline const std::filesystem::path example = LFMC_EXAMPLES "/lfm2-small-dense";

inline bool has(const std::string &program) {
  return shell("command -v " + program).code == 0;
}

/// Compiles into the sandbox; "" after a failure.
inline std::string compile(const std::string &model, const std::string &flags,
                           const std::string &name) {
  std::string package = (Sandbox::get().root / name).string();
  Outcome compiled = runLfmc("compile " + model + " -o " + package + " " +
                             flags + " --name " + name);
  EXPECT_EQ(compiled.code, 0) << compiled.err;
  return compiled.code ? "" : package;
}

/// Logits of a package of the name cpu, token by token, built by the C compiler
/// `compiler` and run by `emulator`; the `first` tokens (a number) together.
inline std::vector<float> logitsOf(const std::string &compiler,
                                   const std::string &emulator,
                                   const std::string &package,
                                   const std::string &first = "") {
  const std::filesystem::path root = Sandbox::get().root;
  const std::string program = (root / "logits").string();
  std::ofstream ids(root / "ids", std::ios::binary);
  for (int32_t id = 9; id < (first.empty() ? 50 : 120); id += 2)
    ids.write(reinterpret_cast<const char *>(&id), sizeof id);
  ids.close();
  Outcome built = shell(
      compiler + " -O1 " LFMC_SOURCE_DIR "/programs/logits.c -I" + package +
      " -L" + package + " -static -lcpu -lpthread -lm -o " + program);
  EXPECT_EQ(built.code, 0) << built.err;
  Outcome run = shell(emulator + " " + program + " " + package +
                      "/cpu.weights " + (root / "ids").string() + " " +
                      (root / "out").string() + " 0 " + first);
  EXPECT_EQ(run.code, 0) << run.err;
  std::string bytes = readFile(root / "out");
  std::vector<float> values(bytes.size() / sizeof(float));
  std::memcpy(values.data(), bytes.data(), values.size() * sizeof(float));
  return values;
}

/// Of a parameterized test: `target` without what gtest refuses.
inline std::string testName(std::string target) {
  for (char &c : target)
    if (!isalnum(static_cast<unsigned char>(c)))
      c = '_';
  return target;
}

#endif // LFMC_TESTS_E2E_CROSS_H

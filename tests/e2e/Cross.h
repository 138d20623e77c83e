// SPDX-License-Identifier: Apache-2.0
//
// What the tests of cross-compiled packages share.
#ifndef LFMC_TESTS_E2E_CROSS_H
#define LFMC_TESTS_E2E_CROSS_H

#include "Shell.h"

#include <cctype>

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

/// Of a parameterized test: `target` without what gtest refuses.
inline std::string testName(std::string target) {
  for (char &c : target)
    if (!isalnum(static_cast<unsigned char>(c)))
      c = '_';
  return target;
}

#endif // LFMC_TESTS_E2E_CROSS_H

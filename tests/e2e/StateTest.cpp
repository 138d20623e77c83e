// SPDX-License-Identifier: Apache-2.0
//
// A compiled package's state: snapshots, context limit, several sessions. The
// bundled model has two cache heads, so its caches are cut in regions.
#include "Shell.h"

class State : public testing::TestWithParam<const char *> {};

TEST_P(State, SurvivesSnapshotsAndIsTheSameForAnyThreads) {
  std::string cache = GetParam();
  std::string package = (Sandbox::get().root / ("small-" + cache)).string();
  Outcome compiled = runLfmc(
      "compile " LFMC_EXAMPLES "/lfm2-small-dense -o " + package +
      " --name small --max-context 100 --prefill 16 --kv-cache " + cache);
  ASSERT_EQ(compiled.code, 0) << compiled.err;
  std::string flags = LFMC_SANITIZED ? " -fsanitize=address,undefined" : "";
  // The sanitizers' runtimes are those of the compiler that built the library.
  std::string compiler = LFMC_SANITIZED ? LFMC_CXX_COMPILER : "c++";
  Outcome built = shell("cd " + package + " && " + compiler + flags + " " +
                        LFMC_SOURCE_DIR "/programs/state.cpp -I. -L. -lsmall "
                                        "-lpthread -Wall -Wextra -o state");
  ASSERT_EQ(built.code, 0) << built.err;
  Outcome run = shell("cd " + package + " && ./state");
  EXPECT_EQ(run.code, 0) << run.err;
}

INSTANTIATE_TEST_SUITE_P(Caches, State, testing::Values("f32", "q8"),
                         [](const auto &info) { return info.param; });

// SPDX-License-Identifier: Apache-2.0
//
// Running lfmc and other programs as a user does.
#ifndef LFMC_TESTS_E2E_SHELL_H
#define LFMC_TESTS_E2E_SHELL_H

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <sys/wait.h>
#include <unistd.h>

/// What a program did.
struct Outcome {
  int code = -1;        ///< exit code; 128 + signal if it was killed
  std::string out, err; ///< standard output and error
};

inline std::string readFile(const std::filesystem::path &path) {
  std::ifstream in(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

/// A directory of its own for one test program, removed at its end; the cache
/// of lfmc lies in it.
class Sandbox : public testing::Environment {
public:
  static Sandbox &get() {
    static auto *sandbox =
        static_cast<Sandbox *>(testing::AddGlobalTestEnvironment(new Sandbox));
    return *sandbox;
  }
  Sandbox() {
    std::string pattern =
        (std::filesystem::temp_directory_path() / "lfmc-e2e-XXXXXX").string();
    root = mkdtemp(pattern.data());
    setenv("LFMC_CACHE_DIR", (root / "cache").c_str(), 1);
  }
  void TearDown() override { std::filesystem::remove_all(root); }

  std::filesystem::path root;
};

/// Runs `command` by the shell, with `input` as standard input.
inline Outcome shell(const std::string &command,
                     const std::string &input = "") {
  std::filesystem::path root = Sandbox::get().root;
  std::ofstream(root / "stdin") << input;
  std::string full = "( " + command + " ) < " + (root / "stdin").string() +
                     " > " + (root / "stdout").string() + " 2> " +
                     (root / "stderr").string();
  int status = std::system(full.c_str());
  Outcome outcome;
  outcome.code =
      WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  outcome.out = readFile(root / "stdout");
  outcome.err = readFile(root / "stderr");
  return outcome;
}

/// Runs lfmc.
inline Outcome runLfmc(const std::string &arguments,
                       const std::string &input = "") {
  return shell(LFMC_BINARY_DIR "/lfmc " + arguments, input);
}

/// Path of a checkpoint or golden file of the tests.
inline std::string checkpoint(const std::string &name) {
  return LFMC_TEST_DATA "/checkpoints/" + name;
}
inline std::string golden(const std::string &name) {
  return LFMC_TEST_DATA "/goldens/" + name + ".safetensors";
}

/// A checkpoint of 2 MB.
inline std::string tiny() { return checkpoint("dense-b-bf16"); }

/// Expects an error: one line "lfmc: error: …" that contains `part`, and
/// code 1.
inline void expectError(const Outcome &outcome, const std::string &part) {
  EXPECT_EQ(outcome.code, 1) << outcome.out;
  size_t begin = outcome.err.find("lfmc: error: ");
#if LFMC_SANITIZED // the sanitizers may speak before us
  EXPECT_NE(begin, std::string::npos) << outcome.err;
#else
  EXPECT_EQ(begin, 0u) << outcome.err;
#endif
  EXPECT_NE(outcome.err.find(part), std::string::npos) << outcome.err;
}

#endif // LFMC_TESTS_E2E_SHELL_H

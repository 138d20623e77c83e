// SPDX-License-Identifier: Apache-2.0
//
// Sessions elsewhere: a package is linked into one static program
// (runner/driver.c) which a command of the user's runs, an emulator or a
// wrapper around adb or ssh.
#ifndef LFMC_TOOLS_LFMC_REMOTE_H
#define LFMC_TOOLS_LFMC_REMOTE_H

#include "tools/lfmc/Stepper.h"

#include "codegen/package/Package.h"

#include <CLI/CLI.hpp>

#include <memory>

namespace lfmc::cli {

/// How --runner starts the program.
struct RunnerOptions {
  std::string command; ///< words before PROGRAM WEIGHTS THREADS; a shell splits
                       ///< them
  std::string compiler; ///< of C, with the options that make static programs;
                        ///< empty: what the target needs
  int threads = 1;
};

/// Adds --runner and --runner-cc.
void addRunnerFlags(CLI::App &command, RunnerOptions &options);

class Remote : public Stepper {
public:
  /// Links, starts and waits until the model is open.
  static llvm::Expected<std::unique_ptr<Remote>>
  start(llvm::StringRef package, const RunnerOptions &options);
  ~Remote() override;

  int32_t vocabSize() const override { return vocab; }
  int32_t maxContext() const override { return context; }
  llvm::Error reset() override { return call(0, {}, {}); }
  llvm::Error prefill(llvm::ArrayRef<int32_t> tokens, float *logits) override {
    return call(logits ? 1 : 4, tokens, {logits, logits ? size_t(vocab) : 0});
  }
  llvm::Error logits(llvm::ArrayRef<int32_t> tokens, float *all) override {
    return call(2, tokens, {all, tokens.size() * size_t(vocab)});
  }
  llvm::Error decode(llvm::ArrayRef<int32_t> tokens, float *logits) override {
    return call(logits ? 3 : 5, tokens, {logits, logits ? size_t(vocab) : 0});
  }
  llvm::Error save() { return call(6, {}, {}); }
  llvm::Error load() { return call(7, {}, {}); }

  /// What the last call took, by the clock there.
  double seconds() const { return lastSeconds; }
  double openSeconds() const { return opening; }
  double memoryMiB() const { return memory; }
  int32_t threads() const { return team; }

private:
  Remote() = default;
  llvm::Error call(int32_t operation, llvm::ArrayRef<int32_t> tokens,
                   llvm::MutableArrayRef<float> answer);
  llvm::Error receive(llvm::MutableArrayRef<float> answer);
  llvm::Error ended();

  std::string program; ///< removed at the end
  int process = 0, toIt = -1, fromIt = -1;
  int32_t vocab = 0, context = 0, team = 0;
  double lastSeconds = 0, opening = 0, memory = 0;
};

struct BenchOptions;
/// `lfmc bench --runner`: measures and prints.
llvm::Expected<int> benchRemote(llvm::StringRef package,
                                const BenchOptions &options,
                                const RunnerOptions &runner, bool json);

} // namespace lfmc::cli

#endif // LFMC_TOOLS_LFMC_REMOTE_H

// SPDX-License-Identifier: Apache-2.0
//
// From a choice to its time: compiles, links with the measuring program, runs.
#ifndef LFMC_CODEGEN_TUNE_MEASURER_H
#define LFMC_CODEGEN_TUNE_MEASURER_H

#include "codegen/tune/Device.h"
#include "codegen/tune/Problem.h"

#include "llvm/ADT/StringMap.h"

#include <mutex>

namespace lfmc::tune {

/// A candidate ready to run; its files go with it.
struct Prepared {
  std::string program, job;
  std::string failure; ///< why there is no program; empty: there is
  bool noRoom = false; ///< that is not the candidate's fault
  int64_t tokens = 0;  ///< of a call
  Prepared() = default;
  Prepared(const Prepared &) = delete;
  Prepared(Prepared &&other) { *this = std::move(other); }
  Prepared &operator=(Prepared &&other) {
    std::swap(program, other.program);
    std::swap(job, other.job);
    std::swap(failure, other.failure);
    std::swap(noRoom, other.noRoom);
    std::swap(tokens, other.tokens);
    return *this;
  }
  ~Prepared();
};

class Measurer {
public:
  /// `library`: the folder of measure-ARCH.o (measure/CMakeLists.txt). Compiled
  /// kernels are kept in `cacheDir`. Errors: no measuring program for the
  /// target's architecture, no linker, no room for temporary files.
  static llvm::Expected<std::unique_ptr<Measurer>>
  create(Device &device, const Target &target, const std::string &library,
         const std::string &cacheDir);
  ~Measurer();

  /// Compiles on `jobs` threads. May be called at the same time for different
  /// problems.
  Prepared prepare(Problem &problem, Phase phase, const Choice &choice,
                   const MeasureOptions &options, unsigned jobs);
  Outcome run(const Prepared &prepared, const MeasureOptions &options);

  Device &device;

private:
  Measurer(Device &device) : device(device) {}
  std::string link(const std::vector<ObjectFile> &objects,
                   const std::string &output);
  Prepared failed(Prepared prepared, std::string why) const;

  std::string base, emulation, linker, folder, cacheDir;
  std::mutex mutex; // of what follows
  unsigned count = 0;
};

} // namespace lfmc::tune

#endif // LFMC_CODEGEN_TUNE_MEASURER_H

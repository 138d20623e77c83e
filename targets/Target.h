// SPDX-License-Identifier: Apache-2.0
//
// What lfmc knows about a machine: facts and tables, no passes.
#ifndef LFMC_TARGETS_TARGET_H
#define LFMC_TARGETS_TARGET_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"

#include <cstdint>
#include <string>

namespace lfmc {

/// Facts about one target. All strings have static storage.
struct Target {
  llvm::StringRef name;     ///< as given to --target
  llvm::StringRef summary;  ///< one line for `lfmc targets`
  llvm::StringRef triple;   ///< LLVM triple
  llvm::StringRef cpu;      ///< LLVM -mcpu
  llvm::StringRef features; ///< LLVM -mattr beyond the cpu's
  llvm::StringRef halide;   ///< Halide target string without runtime flags
  uint32_t cpuFeatures;     ///< LFM_CPU_* bits that the runtime checks
  int64_t vectorLanes;      ///< f32 lanes of a vector register
  int64_t vectorRegisters;  ///< architectural vector registers
  int64_t l1Bytes, l2Bytes; ///< per core, typical; bounds of the blocking
};

/// All targets, in the order of `lfmc targets`.
llvm::ArrayRef<Target> allTargets();

/// The best target that this machine runs.
const Target &hostTarget();

/// Looks up `name` ("host" included); an error lists the known names.
llvm::Expected<const Target *> findTarget(llvm::StringRef name);

/// Whether this process can run code for `target`. Asks the operating system for
/// the tile registers if the target wants them.
bool runsOnHost(const Target &target);

} // namespace lfmc

#endif // LFMC_TARGETS_TARGET_H

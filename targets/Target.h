// SPDX-License-Identifier: Apache-2.0
//
// What lfmc knows about a machine: facts and tables, no passes. x86-64 levels
// are a table in Target.cpp; every other device is a file in devices/, or one
// of the user's.
#ifndef LFMC_TARGETS_TARGET_H
#define LFMC_TARGETS_TARGET_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"

#include <cstdint>
#include <string>
#include <vector>

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
  /// Folder of the prebuilt runtime below lib/ ("aarch64-linux"); empty: the
  /// host's. Where there is none, packages carry the runtime's sources.
  llvm::StringRef system = {};
  /// The device file's text (JSON, devices/README.md); empty for x86-64.
  llvm::StringRef facts = {};
  /// Hexagon: memory beside the vector units (VTCM) that a program may ask
  /// for; 0: none. That of phones; other chips with that version may have less.
  int64_t vtcmBytes = 0;

  bool isX86() const { return triple.starts_with("x86_64"); }
  bool isHexagon() const { return triple.starts_with("hexagon"); }
  bool isArm64() const {
    return triple.starts_with("aarch64") || triple.starts_with("arm64");
  }
  bool isApple() const { return triple.contains("-apple-"); }
};

/// All targets, in the order of `lfmc targets`.
llvm::ArrayRef<Target> allTargets();

/// The best target that this machine runs.
const Target &hostTarget();

/// Looks up `name`: "host", a target, either followed by features that it may
/// have ("aarch64-linux+dotprod"), or the path of a device file (*.json). An
/// error lists what is known.
llvm::Expected<const Target *> findTarget(llvm::StringRef name);

/// The targets of one library: `name` alone, or, if `name` is a family
/// ("x86-64"), its levels `isa` ("v3", "v4-vnni"; none: the family's usual
/// ones), each once, in the order of the table: the best last. Errors name what
/// is known.
llvm::Expected<llvm::SmallVector<const Target *>>
findTargets(llvm::StringRef name, llvm::ArrayRef<std::string> isa);

/// Whether this process can run code for `target`. Asks the operating system
/// for the tile registers if the target wants them.
bool runsOnHost(const Target &target);

} // namespace lfmc

#endif // LFMC_TARGETS_TARGET_H

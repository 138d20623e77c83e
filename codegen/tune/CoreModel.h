// SPDX-License-Identifier: Apache-2.0
//
// What code costs on a core that is not here: instructions counted under an
// emulator, cycles of their loops by LLVM's scheduling model (llvm-mca's). The
// model knows pipes and latencies of arithmetic; caches, memory and branches
// that are mispredicted cost nothing. A stand-in for measuring.
#ifndef LFMC_CODEGEN_TUNE_COREMODEL_H
#define LFMC_CODEGEN_TUNE_COREMODEL_H

#include "targets/Target.h"

#include <memory>
#include <optional>

namespace lfmc::tune {

class CoreModel {
public:
  /// Of the core `cpu` (-mcpu: "neoverse-n1"), for code that `target` lets the
  /// compiler generate. Fails if LLVM has no model of its pipes.
  static llvm::Expected<std::unique_ptr<CoreModel>> create(const Target &target,
                                                           llvm::StringRef cpu);
  ~CoreModel();

  /// Cycles of one iteration where `count` instructions, at `address` in
  /// memory, are repeated. An instruction that the model lacks costs what a
  /// like one does, or a place in the pipeline's front. Nothing if `code` holds
  /// fewer instructions, or others than the target's.
  std::optional<double> cycles(llvm::ArrayRef<uint8_t> code, uint64_t address,
                               unsigned count) const;

private:
  CoreModel();
  struct Parts;
  std::unique_ptr<Parts> parts;
};

/// Instructions without a jump between them, and how often they were executed.
struct Block {
  uint64_t address = 0;
  unsigned instructions = 0;
  uint64_t executions = 0;
};

/// What libicount.so writes for each answer of a program.
struct Counts {
  uint64_t instructions = 0;
  std::vector<Block> blocks; ///< those that executed most

  /// A line of its file. Nothing if it is none.
  static std::optional<Counts> parse(llvm::StringRef line);
};

/// Blocks that follow one another and were executed about as often are one
/// loop's body, which the emulator cut: joined. The costliest come first.
std::vector<Block> joinBlocks(std::vector<Block> blocks);

/// Cycles of what was counted in the program at `path`, an ELF file that is
/// loaded where it says: those of the costliest blocks by the model, the rest
/// at their rate. Fails if none of them can be read.
llvm::Expected<double> modelledCycles(const CoreModel &core,
                                      const std::string &path,
                                      const Counts &counts);

} // namespace lfmc::tune

#endif // LFMC_CODEGEN_TUNE_COREMODEL_H

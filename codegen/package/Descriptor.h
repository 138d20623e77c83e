// SPDX-License-Identifier: Apache-2.0
//
// NAME_program, the constant `lfm_program` that an application hands to the
// runtime, as an object file.
#ifndef LFMC_CODEGEN_PACKAGE_DESCRIPTOR_H
#define LFMC_CODEGEN_PACKAGE_DESCRIPTOR_H

#include "codegen/Codegen.h"
#include "frontend/ModelConfig.h"

#include <array>

namespace lfmc {

/// One entry of lfm_program.states.
struct StateInfo {
  std::string name;
  uint64_t offset = 0, bytes = 0;
  uint64_t bytesPerToken = 0;        ///< 0: recurrent
  uint32_t regions = 1, granule = 1; ///< see lfm_state_info
};

/// One entry of lfm_program.experts.
struct ExpertsInfo {
  uint64_t upOffset = 0, upBytes = 0, downOffset = 0, downBytes = 0;
  int64_t layer = 0, count = 0, perToken = 0;
};

/// Scratch of a level's steps, in bytes.
struct ArenaInfo {
  uint64_t bytes = 0, decodeBytes = 0; ///< of all entries; of decode
};

/// A further level of the same model.
struct LevelInfo {
  const Target *target = nullptr;
  ArenaInfo arena;
};

/// Prefix of a level's entries: "NAME_x86_64_v3".
std::string levelName(const std::string &package, const Target &target);

/// The fields of lfm_program, see runtime/include/lfm/program.h.
struct ProgramInfo {
  std::string name; ///< C identifier; entries are NAME_decode, …
  const Target *target = nullptr;
  std::string compiler;
  int64_t vocabSize = 0, hiddenSize = 0, maxContext = 0, maxPrefill = 0;
  std::array<uint8_t, 16> weightsId{};
  uint64_t weightsBytes = 0, stateBytes = 0;
  int64_t promptRows = 0; ///< 0: no entries prompt and prompt_end
  ArenaInfo arena;
  std::vector<StateInfo> states;
  std::vector<ExpertsInfo> experts;
  std::vector<LevelInfo> levels; ///< besides `target`, worst first
  int32_t bos = -1, pad = -1;
  std::vector<int32_t> eos;
  SamplingDefaults sampling;
  std::string tokenizer; ///< tables as in tokenizer_format.h; empty: none
};

/// Compiles the descriptor for its target. Its only visible symbol is
/// NAME_program; it refers to the entries of each level.
llvm::Expected<ObjectFile> generateDescriptor(const ProgramInfo &info);

} // namespace lfmc

#endif // LFMC_CODEGEN_PACKAGE_DESCRIPTOR_H

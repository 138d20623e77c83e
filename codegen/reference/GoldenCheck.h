// SPDX-License-Identifier: Apache-2.0
//
// Compares a model on the reference executor with golden values.
#ifndef LFMC_CODEGEN_REFERENCE_GOLDENCHECK_H
#define LFMC_CODEGEN_REFERENCE_GOLDENCHECK_H

#include "codegen/reference/ReferenceModel.h"
#include "frontend/SafeTensors.h"

#include <string>
#include <vector>

namespace lfmc {

/// The names under which goldens list intermediate values, and the names of the
/// ops' locations that give them (ReferenceExecutor::setTaps):
/// "hidden.embed", "hidden.layer3", "operator_out.layer3", "hidden.final_norm".
struct TapName {
  std::string golden, location;
};

/// The taps of a module: layers are counted by its locations.
std::vector<TapName> tapNames(mlir::ModuleOp module);

/// Largest differences found by `checkGoldens`.
struct CheckReport {
  struct Line {
    std::string name; ///< golden key, or "p2.decode - prefill"
    float worst = 0;  ///< largest absolute difference
    float limit = 0;  ///< the largest allowed
  };
  std::vector<Line> lines;
  bool passed() const;
};

/// Runs every prompt of `goldens` (keys NAME.input_ids) that has logits in
/// them, in chunks of `chunk` tokens (0: all at once), and compares what the
/// file holds: NAME.logits, .logits_last2, .logits_first16, .logits_last16,
/// .decode_logits (one token at a time), hidden rows. Limits: `tolerance`, and
/// 1e-4 between decode and prefill. Prompts longer than `maxTokens` are left
/// out (0: none is). Hidden rows that the module no longer computes, being
/// fused, are left out.
llvm::Expected<CheckReport> checkGoldens(ReferenceModel &model,
                                         llvm::ArrayRef<TapName> taps,
                                         const SafeTensors &goldens,
                                         float tolerance, int64_t chunk,
                                         int64_t maxTokens);

/// The elements of a golden tensor of I32 or F32. Errors name the tensor.
llvm::Expected<std::vector<int32_t>> readIds(const SafeTensors &file,
                                             llvm::StringRef key);
llvm::Expected<HostTensor> readFloats(const SafeTensors &file,
                                      llvm::StringRef key);

} // namespace lfmc

#endif // LFMC_CODEGEN_REFERENCE_GOLDENCHECK_H

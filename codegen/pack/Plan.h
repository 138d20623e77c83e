// SPDX-License-Identifier: Apache-2.0
//
// From `lfm2.weight` symbols to what the packer does: every weight checked
// against the checkpoint, nothing read yet.
#ifndef LFMC_CODEGEN_PACK_PLAN_H
#define LFMC_CODEGEN_PACK_PLAN_H

#include "codegen/pack/Formats.h"
#include "codegen/pack/Pack.h"
#include "codegen/pack/RowQuantizer.h"
#include "dialects/lfm2/Lfm2.h"

#include <functional>
#include <memory>

namespace lfmc::pack {

/// What the elements of a checkpoint tensor are; isWeightDType(type) must hold.
Format formatOf(DType type);

/// The blocks of a quantized form; none of another.
Blocks blocksOf(lfm2::StoredAttr stored);

/// One weight of the file.
struct PlannedWeight {
  std::string name;     ///< symbol
  std::string identity; ///< name and type as text, hashed into the id
  uint64_t offset = 0, bytes = 0;
  int64_t rows = 0, columns = 0; ///< vectors are one column
  Format format = Format::F32;
  Blocks blocks; ///< of codes; then `format` means nothing
  Panels panels;
  /// Checkpoint tensors, stacked by rows; empty for a rope table.
  std::vector<const TensorInfo *> sources;
  /// Rope tables only.
  double theta = 0;
  /// Factors (dialects/lfm2/Factors.h); empty: 1.
  std::vector<float> rowFactors, columnFactors;
  /// Of a quantized weight; made when its turn comes, dropped when it is done.
  /// Empty: round to nearest.
  std::function<std::unique_ptr<RowQuantizer>()> quantizer;
};

/// All weights of `module` by ascending offset, none overlapping another.
llvm::Expected<std::vector<PlannedWeight>> planOffsets(mlir::ModuleOp module);

/// planOffsets, and the sources looked up and checked.
llvm::Expected<std::vector<PlannedWeight>> planWeights(mlir::ModuleOp module,
                                                       const WeightSource &);

/// One weight of them, which need not have an offset yet.
llvm::Expected<PlannedWeight> planWeight(lfm2::WeightOp op,
                                         const WeightSource &);

/// The sources of `weight` as one matrix, with its factors. `weight` must
/// outlive it.
Matrix matrixOf(const PlannedWeight &weight, const SafeTensors &tensors);

/// packWeights for a plan of planWeights; reads no IR.
llvm::Expected<PackedWeights> packPlanned(std::vector<PlannedWeight> weights,
                                          const SafeTensors &tensors,
                                          llvm::StringRef path,
                                          const PackOptions &options = {});

/// Size of the file.
uint64_t fileBytes(llvm::ArrayRef<PlannedWeight> weights);

} // namespace lfmc::pack

#endif // LFMC_CODEGEN_PACK_PLAN_H

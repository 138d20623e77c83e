// SPDX-License-Identifier: Apache-2.0
//
// Checkpoint → lfm2 dialect. No tensor bytes enter the IR: weights are named.
#ifndef LFMC_FRONTEND_IMPORTLFM2_H
#define LFMC_FRONTEND_IMPORTLFM2_H

#include "dialects/lfm2/Lfm2.h"
#include "frontend/Checkpoint.h"

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"

#include <optional>

namespace lfmc {

/// The stored form that comes next to the elements of a checkpoint tensor: the
/// same for F32, F16, BF16; blocks of 32 for GGUF's types (Q4_0: q4, Q4_1 and
/// Q4_K: q4m, Q5_0: q6, the others: q8).
lfm2::StoredKind nearestKind(DType type);

/// How to import.
struct ImportOptions {
  /// Element format of matrices (linears, embedding, head); nearestKind of the
  /// checkpoint's when not set, where the q, k and v of a layer, and its w1 and
  /// w3, agree on the widest of theirs. Norms, convolution taps and biases are
  /// always f32.
  std::optional<lfm2::StoredKind> weights;
  /// Positions that the caches hold, 1 .. max_position_embeddings.
  int64_t maxContext = 4096;
  /// Tokens of one @prefill or @head step, 1 .. maxContext.
  int64_t maxPrefill = 512;
  /// Format of K and V: F32, F16 or Q8 (#lfm2.quantized_cache).
  lfm2::StoredKind cache = lfm2::StoredKind::F32;
};

/// Positions that attention kernels take at a time.
inline constexpr int64_t cacheBlock = 64;

/// Positions of the caches: maxContext in whole blocks.
inline int64_t cachePositions(const ImportOptions &options) {
  return (options.maxContext + cacheBlock - 1) / cacheBlock * cacheBlock;
}

/// Builds the module of `checkpoint`, unfused, in the order of the reference:
///
///   @decode(tokens: tensor<1xi32>, pos: index, state…) -> (logits 1xV, state…)
///   @prefill(tokens: tensor<?xi32>, pos: index, state…) -> (hidden ?xH,
///   state…)
///   @head(hidden: tensor<?xHxf32>) -> (logits ?xV)
///
/// `hidden` is after the final norm. States come in layer order (K before V),
/// tied to their symbols by `lfm2.state`. Symbols: weights @embed, @final_norm,
/// @lm_head (untied only), @l3.in_proj …; states @l0.conv, @l2.k, @l2.v.
/// Sources are canonical tensor names (see Checkpoint::find); convolution taps
/// [H, 1, K] have the type [H, K]. Locations name tensor or layer.
///
/// Loads the dialects it needs into `context`. Emits a diagnostic and returns
/// null when an option is out of range.
mlir::OwningOpRef<mlir::ModuleOp> importLfm2(mlir::MLIRContext &context,
                                             const Checkpoint &checkpoint,
                                             const ImportOptions &options);

/// The same without tensors: `kind` is the checkpoint's format of all matrices.
/// config.ffnWidth must be known.
mlir::OwningOpRef<mlir::ModuleOp> importLfm2(mlir::MLIRContext &context,
                                             const ModelConfig &config,
                                             lfm2::StoredKind kind,
                                             const ImportOptions &options);

} // namespace lfmc

#endif // LFMC_FRONTEND_IMPORTLFM2_H

// SPDX-License-Identifier: Apache-2.0
//
// Channels of a model whose scale is free: what one side multiplies, the other
// divides, and the model computes the same function.
#ifndef LFMC_PASSES_QUANTIZE_CHANNELS_H
#define LFMC_PASSES_QUANTIZE_CHANNELS_H

#include "dialects/lfm2/Lfm2.h"

#include "mlir/IR/BuiltinOps.h"

#include <vector>

namespace lfmc {

/// The columns of quantized rows, and where their values come from: a norm, the
/// gate C of a short convolution, the up half of a swiglu, or v of an
/// attention. Everything between is linear in them, channel by channel.
struct ScalableChannels {
  /// Matrices that the rows meet; all have channelOf.size() columns.
  llvm::SmallVector<lfm2::WeightOp> readers;
  /// Channel of a column, below `channels`. Heads that share a cache share it.
  std::vector<int64_t> channelOf;
  int64_t channels = 0;
  /// A vector or quantized matrix whose row `firstRow + c` makes channel c.
  struct Writer {
    lfm2::WeightOp weight;
    int64_t firstRow;
  };
  llvm::SmallVector<Writer> writers;
};

/// All of `module`, on which lfmc-quantize has run. A reader is in one of them,
/// a writer's rows as well. Left out: rows that something else reads, too, and
/// those that functions make in different ways.
std::vector<ScalableChannels> findScalableChannels(mlir::ModuleOp module);

/// Multiplies the columns of the readers by `factors`, [channels], and divides
/// the rows of the writers, on top of the factors that they have.
void scaleChannels(const ScalableChannels &channels,
                   llvm::ArrayRef<float> factors);

} // namespace lfmc

#endif // LFMC_PASSES_QUANTIZE_CHANNELS_H

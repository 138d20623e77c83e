// SPDX-License-Identifier: Apache-2.0
//
// GGUF's block types (ggml's) as values, and as codes where a block is no more
// than that. Plain functions on memory.
#ifndef LFMC_CODEGEN_PACK_DEQUANTIZE_H
#define LFMC_CODEGEN_PACK_DEQUANTIZE_H

#include "codegen/pack/Quantize.h"

namespace lfmc::pack {

/// Size of a block; {1, formatBytes} for plain elements.
struct BlockShape {
  int64_t elements, bytes;
};
BlockShape blockShape(Format format);

/// The values of a block, rounded in every step as the reference (gguf's
/// quants.py) rounds them. `format` must be a block type.
void dequantizeBlock(Format format, const uint8_t *block, float *values);

/// Whether keepCodes, below, can do that for blocks of `format` in general.
bool holdsCodes(Format format, const Blocks &blocks);

/// Stores the 32 values from 32 * `index` on in a block of `blocks` with the
/// codes that they have, where that form holds them; elsewhere `codes` and
/// `scale` stay. Q4_0, Q4_1, Q5_0 and Q8_0 keep every value; in Q4_K the factors of
/// a sub-block, a product of two, are rounded to f16. False, too, for a factor
/// that is not finite and for Q8_0's code -128, which kernels do not take.
bool keepCodes(Format format, const uint8_t *data, int64_t index,
               const Blocks &blocks, int8_t *codes, BlockScale &scale);

} // namespace lfmc::pack

#endif // LFMC_CODEGEN_PACK_DEQUANTIZE_H

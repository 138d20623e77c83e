// SPDX-License-Identifier: Apache-2.0
//
// GGUF's block types (ggml's) as values, and as codes where a block is no more
// than that. Plain functions on memory.
#ifndef LFMC_CODEGEN_PACK_DEQUANTIZE_H
#define LFMC_CODEGEN_PACK_DEQUANTIZE_H

#include "codegen/pack/Formats.h"

namespace lfmc::pack {

/// Size of a block; {1, formatBytes} for plain elements.
struct BlockShape {
  int64_t elements, bytes;
};
BlockShape blockShape(Format format);

/// The values of a block, rounded in every step as the reference (gguf's
/// quants.py) rounds them. `format` must be a block type.
void dequantizeBlock(Format format, const uint8_t *block, float *values);

/// Whether a block of `format` is 32 codes of at most `bits` bits with one f16
/// scale, value = scale * code, so that it can be stored as such.
bool hasCodes(Format format, int bits);

/// The codes and the scale's bits of a block for which hasCodes holds.
void readCodes(Format format, const uint8_t *block, int8_t *codes,
               uint16_t *scale);

} // namespace lfmc::pack

#endif // LFMC_CODEGEN_PACK_DEQUANTIZE_H

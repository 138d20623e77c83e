// SPDX-License-Identifier: Apache-2.0
//
// Weights in blocks of 4 or 8 bits: rounding and panel layout. Plain functions
// on memory, no IR and no files.
#ifndef LFMC_CODEGEN_PACK_QUANTIZE_H
#define LFMC_CODEGEN_PACK_QUANTIZE_H

#include "codegen/pack/Formats.h"

namespace lfmc::pack {

class RowQuantizer;

/// How a row is quantized (`#lfm2.stored`); block = 0: it is not.
struct Blocks {
  int64_t block = 0;    ///< columns that share a scale
  int bits = 0;         ///< 4, 6 or 8
  bool minimum = false; ///< value = scale * code + minimum

  /// Bytes of `n` columns of a row, scales and minima included.
  int64_t bytes(int64_t n) const {
    return n * bits / 8 + n / block * (minimum ? 4 : 2);
  }
};

/// The f16 factors of a block.
struct BlockScale {
  uint16_t scale = 0, minimum = 0;
};

/// Rounds a block of values to nearest. 8 bits: scale = max|x| / 127 (GGUF
/// Q8_0). 6 and 4 bits: scale = -x / 2^(bits - 1) for the x of the largest size
/// (4 bits: GGUF Q4_0, value for value). With a minimum: scale = (max - min) /
/// 15 (GGUF Q4_1). Returns false if a factor does not fit f16.
bool quantizeBlock(const float *values, const Blocks &blocks, int8_t *codes,
                   BlockScale &scale);

/// scale * code + minimum.
float blockValue(const BlockScale &scale, int8_t code);

/// Codes and factors, [rows][columns] and [rows][columns / block], of rows of the
/// stacked matrix: those that they have in GGUF's blocks where `blocks` can hold
/// them (see keepCodes), else the quantizer's. Returns an element that is not
/// finite or that makes a factor too large for f16, if any.
std::optional<BadElement> quantizeRows(const Matrix &matrix,
                                       const std::vector<int64_t> &rows,
                                       const Blocks &blocks,
                                       const RowQuantizer &quantizer,
                                       int8_t *codes, BlockScale *scales);

/// The stored form cut into parts of whole panels of about `bytes` bytes.
std::vector<Part> partitionQuantized(const Panels &panels, int64_t rows,
                                     int64_t columns, const Blocks &blocks,
                                     int64_t bytes);

/// Writes the panels of `part`. A panel is a stream of blocks: the scales of
/// its rows, the minima if any, then the codes (less their least value) in the
/// order [block / (depth * n)][rows][depth], n codes a byte: 8 bits, n = 1:
/// int8, or in raised panels uint8, plus 128, of scales without sign (the codes
/// have it). Else first the low four bits, n = 2: columns 2*depth*g + j in the
/// low nibble, 2*depth*g + depth + j in the high one; then, of 6 bits, the high
/// two, n = 4: column depth * (4*g + i) + j in bits 2*i and 2*i + 1.
std::optional<BadElement>
packQuantized(const Matrix &matrix, const Panels &panels, const Blocks &blocks,
              const RowQuantizer &quantizer, const Part &part, uint8_t *to);

} // namespace lfmc::pack

#endif // LFMC_CODEGEN_PACK_QUANTIZE_H

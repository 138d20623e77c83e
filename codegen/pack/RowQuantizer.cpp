// SPDX-License-Identifier: Apache-2.0
#include "codegen/pack/RowQuantizer.h"

#include <algorithm>
#include <cmath>

namespace lfmc::pack {

int64_t NearestQuantizer::quantize(float *values, int64_t rows, int64_t columns,
                                   const Blocks &blocks, int8_t *codes,
                                   BlockScale *scales) const {
  for (int64_t i = 0; i < rows * columns; i += blocks.block)
    if (!quantizeBlock(values + i, blocks, codes + i, *scales++))
      return std::max_element(
                 values + i, values + i + blocks.block,
                 [](float a, float b) { return std::fabs(a) < std::fabs(b); }) -
             values;
  return -1;
}

int64_t roundRows(const RowQuantizer &quantizer, float *values, int64_t rows,
                  int64_t columns, const Blocks &blocks) {
  // A few rows at a time: the codes of a whole embedding would not fit a cache.
  constexpr int64_t step = 64;
  std::vector<int8_t> codes(step * columns);
  std::vector<BlockScale> scales(step * (columns / blocks.block));
  for (int64_t row = 0; row < rows; row += step) {
    int64_t n = std::min(step, rows - row) * columns;
    float *at = values + row * columns;
    if (int64_t bad = quantizer.quantize(at, n / columns, columns, blocks,
                                         codes.data(), scales.data());
        bad >= 0)
      return row * columns + bad;
    for (int64_t i = 0; i < n; ++i)
      at[i] = blockValue(scales[i / blocks.block], codes[i]);
  }
  return -1;
}

} // namespace lfmc::pack

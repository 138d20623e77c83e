// SPDX-License-Identifier: Apache-2.0
#include "codegen/pack/RowQuantizer.h"

#include <algorithm>
#include <cmath>
#include <numeric>

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

int64_t quantizeRows(const RowQuantizer &quantizer,
                     const std::vector<int64_t> &rows, float *values,
                     int64_t columns, const Blocks &blocks, int8_t *codes,
                     BlockScale *scales) {
  const size_t count = rows.size();
  auto ofRow = [&](size_t i) { return quantizer.ofRow(rows[i]); };
  std::shared_ptr<const RowQuantizer> next = count ? ofRow(0) : nullptr;
  for (size_t begin = 0, end; begin < count; begin = end) {
    std::shared_ptr<const RowQuantizer> its = std::move(next);
    for (end = begin + 1; end < count && (next = ofRow(end)) == its;)
      ++end;
    int64_t first = int64_t(begin) * columns;
    int64_t bad =
        (its ? *its : quantizer)
            .quantize(values + first, int64_t(end - begin), columns, blocks,
                      codes + first, scales + first / blocks.block);
    if (bad >= 0)
      return first + bad;
  }
  return -1;
}

int64_t roundRows(const RowQuantizer &quantizer, float *values, int64_t rows,
                  int64_t columns, const Blocks &blocks) {
  // A few rows at a time: the codes of a whole embedding would not fit a cache.
  constexpr int64_t step = 64;
  std::vector<int8_t> codes(step * columns);
  std::vector<BlockScale> scales(step * (columns / blocks.block));
  std::vector<int64_t> indices;
  for (int64_t row = 0; row < rows; row += step) {
    int64_t n = std::min(step, rows - row) * columns;
    float *at = values + row * columns;
    indices.resize(n / columns);
    std::iota(indices.begin(), indices.end(), row);
    if (int64_t bad = quantizeRows(quantizer, indices, at, columns, blocks,
                                   codes.data(), scales.data());
        bad >= 0)
      return row * columns + bad;
    for (int64_t i = 0; i < n; ++i)
      at[i] = blockValue(scales[i / blocks.block], codes[i]);
  }
  return -1;
}

} // namespace lfmc::pack

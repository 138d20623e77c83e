// SPDX-License-Identifier: Apache-2.0
#include "codegen/tune/QuadRows.h"

#include <cstring>

namespace lfmc::tune {

std::vector<uint8_t> toQuads(const std::vector<uint8_t> &rows, int64_t k,
                             int64_t shared) {
  const int64_t rowBytes = k + k / 4, blockBytes = 160;
  std::vector<uint8_t> quads(rows.size());
  for (size_t at = 0; at < rows.size(); at += size_t(4 * rowBytes))
    for (int64_t block = 0; block < k / 32; ++block)
      for (int64_t t = 0; t < 4; ++t) {
        const uint8_t *row = &rows[at + size_t(t * rowBytes)];
        uint8_t *to = &quads[at + size_t(block * blockBytes)];
        uint8_t *codes = to + t / 2 * 64 + t % 2 * 8;
        for (int64_t column = 0; column < 32; ++column) {
          const int64_t step = column / 16 * 2 + column / 4 % 2;
          const int64_t place = column / 8 % 2 * 4 + column % 4;
          codes[step * 16 + place] = row[block * 32 + column];
        }
        float scale;
        int32_t sum;
        const int64_t at = block * 32 / shared * 4;
        std::memcpy(&scale, row + k + at, 4);
        std::memcpy(&sum, row + k + k / 8 + at, 4);
        const float scaled = float(sum) * scale;
        std::memcpy(to + 128 + t * 4, &scale, 4);
        std::memcpy(to + 144 + t * 4, &scaled, 4);
      }
  return quads;
}

std::vector<uint8_t> toSixteens(const std::vector<uint8_t> &rows, int64_t k,
                                int64_t shared) {
  const int64_t rowBytes = k + k / 4;
  std::vector<uint8_t> sixteens(rows.size());
  for (size_t at = 0; at < rows.size(); at += size_t(16 * rowBytes))
    for (int64_t t = 0; t < 16; ++t) {
      const uint8_t *row = &rows[at + size_t(t * rowBytes)];
      uint8_t *to = &sixteens[at + size_t(t * 4)];
      for (int64_t four = 0; four < k; four += 4)
        std::memcpy(to + four * 16, row + four, 4);
      for (int64_t group = 0; group < k / shared; ++group)
        std::memcpy(to + k * 16 + group * 64, row + k + group * 4, 4);
    }
  return sixteens;
}

} // namespace lfmc::tune

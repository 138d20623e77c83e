// SPDX-License-Identifier: Apache-2.0
//
// Quantized weights and activations for the tests, written from the documented
// layouts and not by the code under test.
#ifndef LFMC_TESTS_CODEGEN_HALIDE_QUANTIZEDFIXTURE_H
#define LFMC_TESTS_CODEGEN_HALIDE_QUANTIZEDFIXTURE_H

#include "tests/codegen/halide/Harness.h"

#include <algorithm>
#include <numeric>

namespace lfmc::halide::test {

inline constexpr int Q8 = 3, Q4 = 4;

/// Bytes of a panel of `k` columns.
inline size_t panelBytes(int wtype, int rows, int block, int k) {
  return size_t(k / block) * rows * (2 + (wtype == Q4 ? block / 2 : block));
}

/// An integer in [low, high].
inline int pick(Random &random, int low, int high) {
  int value = low + int((random() + 1) * 0.5f * (high - low + 1));
  return std::min(value, high);
}

/// Panels of k columns whose starts are kTotal columns apart: what is stored,
/// and code - offset and scale as the layout means them.
struct QuantizedWeights {
  int wtype, rows, block, depth, panels, k;
  Buffer<uint8_t> stored;
  std::vector<int> values;   // [panel][row][k]
  std::vector<float> scales; // [panel][row][k / block]

  /// `code` gives the value of (row of all panels, column).
  template <typename Code>
  QuantizedWeights(int wtype, int rows, int block, int depth, int panels, int k,
                   int kTotal, Random &random, Code code)
      : wtype(wtype), rows(rows), block(block), depth(depth), panels(panels),
        k(k), stored((panels - 1) * panelBytes(wtype, rows, block, kTotal) +
                     panelBytes(wtype, rows, block, k)),
        values(size_t(panels) * rows * k),
        scales(size_t(panels) * rows * (k / block)) {
    const size_t blockBytes = panelBytes(wtype, rows, block, block);
    for (int p = 0; p < panels; ++p)
      for (int r = 0; r < rows; ++r)
        for (int column = 0; column < k; ++column) {
          uint8_t *start = stored.data() +
                           p * panelBytes(wtype, rows, block, kTotal) +
                           column / block * blockBytes;
          if (column % block == 0) {
            uint16_t bits = toF16(random() * 0.1f);
            std::memcpy(start + r * 2, &bits, 2);
            scales[(size_t(p) * rows + r) * (k / block) + column / block] =
                fromF16(bits);
          }
          const int value = code(p * rows + r, column);
          values[(size_t(p) * rows + r) * k + column] = value;
          uint8_t *codes = start + rows * 2;
          const int within = column % block;
          if (wtype == Q8) {
            codes[(within / depth * rows + r) * depth + within % depth] =
                uint8_t(int8_t(value));
          } else {
            const int group = within / (2 * depth), half = within / depth % 2;
            codes[(group * rows + r) * depth + within % depth] |= (value + 8)
                                                                  << (half * 4);
          }
        }
  }
};

/// Rows of activations as linear_q reads them.
struct QuantizedRows {
  int width, stride; // columns; bytes between rows
  Buffer<uint8_t> stored;

  template <typename Value>
  QuantizedRows(int width, int tokens, int padding, Random &random, Value value)
      : width(width), stride(width + width / 32 * 8 + padding),
        stored(size_t(stride) * (tokens - 1) + stride - padding) {
    for (int t = 0; t < tokens; ++t)
      for (int b = 0; b < width / 32; ++b) {
        int32_t total = 0;
        for (int i = 0; i < 32; ++i) {
          int8_t q = static_cast<int8_t>(value(t, b * 32 + i));
          total += q;
          stored[size_t(t) * stride + b * 32 + i] = uint8_t(q);
        }
        float scale = (random() + 1.0f) * 0.01f;
        std::memcpy(row(t) + width + b * 4, &scale, 4);
        std::memcpy(row(t) + width + width / 8 + b * 4, &total, 4);
      }
  }
  uint8_t *row(int t) const { return stored.data() + size_t(t) * stride; }
  int q(int t, int k) const { return int8_t(row(t)[k]); }
  float scale(int t, int b) const {
    float value;
    std::memcpy(&value, row(t) + width + b * 4, 4);
    return value;
  }
  /// The kernel's first three arguments, from token t and column k on.
  std::vector<void *> args(int t, int k) const {
    return {row(t) + k, row(t) + width + k / 8,
            row(t) + width + width / 8 + k / 8};
  }
};

} // namespace lfmc::halide::test

#endif // LFMC_TESTS_CODEGEN_HALIDE_QUANTIZEDFIXTURE_H

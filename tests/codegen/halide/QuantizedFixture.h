// SPDX-License-Identifier: Apache-2.0
//
// Quantized weights and activations for the tests, written from the documented
// layouts and not by the code under test.
#ifndef LFMC_TESTS_CODEGEN_HALIDE_QUANTIZEDFIXTURE_H
#define LFMC_TESTS_CODEGEN_HALIDE_QUANTIZEDFIXTURE_H

#include "tests/codegen/halide/Harness.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace lfmc::halide::test {

inline constexpr int Q8 = 3, Q4 = 4, Q6 = 5, Q4M = 6;
inline constexpr int allQuantized[] = {Q8, Q4, Q6, Q4M};

/// The least and the largest code - offset.
struct CodeRange {
  int low, high;
};
inline CodeRange codeRange(int wtype) {
  switch (wtype) {
  case Q8:
    return {-127, 127};
  case Q4:
    return {-8, 7};
  case Q6:
    return {-32, 31};
  default:
    return {0, 15};
  }
}

/// Bytes before the codes of a block, and bits of a code.
inline size_t codesStart(int wtype, int rows) {
  return size_t(rows) * (wtype == Q4M ? 4 : 2);
}
inline int codeBits(int wtype) { return wtype == Q8 ? 8 : wtype == Q6 ? 6 : 4; }

/// Bytes of a panel of `k` columns.
inline size_t panelBytes(int wtype, int rows, int block, int k) {
  return k / block *
         (codesStart(wtype, rows) + size_t(rows) * block * codeBits(wtype) / 8);
}

/// An integer in [low, high].
inline int pick(Random &random, int low, int high) {
  int value = low + int((random() + 1) * 0.5f * (high - low + 1));
  return std::min(value, high);
}

/// Panels of k columns whose starts are kTotal columns apart: what is stored,
/// and code - offset, scale and minimum (0 but for Q4M) as the layout means
/// them.
struct QuantizedWeights {
  int wtype, rows, block, depth, panels, k;
  Buffer<uint8_t> stored;
  std::vector<int> values;           // [panel][row][k]
  std::vector<float> scales, minima; // [panel][row][k / block]

  /// `code` gives the value of (row of all panels, column). `raised`: codes of
  /// 8 bits are stored plus 128, no scale is negative.
  template <typename Code>
  QuantizedWeights(int wtype, int rows, int block, int depth, int panels, int k,
                   int kTotal, Random &random, Code code, bool raised = false)
      : wtype(wtype), rows(rows), block(block), depth(depth), panels(panels),
        k(k), stored((panels - 1) * panelBytes(wtype, rows, block, kTotal) +
                     panelBytes(wtype, rows, block, k)),
        values(size_t(panels) * rows * k),
        scales(size_t(panels) * rows * (k / block)), minima(scales.size()) {
    const size_t blockBytes = panelBytes(wtype, rows, block, block);
    for (int p = 0; p < panels; ++p)
      for (int r = 0; r < rows; ++r)
        for (int column = 0; column < k; ++column) {
          uint8_t *start = stored.data() +
                           p * panelBytes(wtype, rows, block, kTotal) +
                           column / block * blockBytes;
          if (column % block == 0) {
            const size_t at =
                (size_t(p) * rows + r) * (k / block) + column / block;
            const float scale = random() * 0.1f;
            scales[at] =
                storeHalf(start + r * 2, raised ? std::abs(scale) : scale);
            if (wtype == Q4M)
              minima[at] = storeHalf(start + (rows + r) * 2, random());
          }
          const int value = code(p * rows + r, column);
          values[(size_t(p) * rows + r) * k + column] = value;
          store(start + codesStart(wtype, rows), r, column % block,
                value + (raised        ? 128
                         : wtype == Q8 ? 0
                                       : -codeRange(wtype).low));
        }
  }

private:
  static float storeHalf(uint8_t *to, float value) {
    uint16_t bits = toF16(value);
    std::memcpy(to, &bits, 2);
    return fromF16(bits);
  }

  // Writes the code of row r and column `within` of a block.
  void store(uint8_t *codes, int r, int within, int code) {
    auto byte = [&](uint8_t *part, int perByte) -> uint8_t & {
      return part[(within / depth / perByte * rows + r) * depth +
                  within % depth];
    };
    if (wtype == Q8) {
      byte(codes, 1) = uint8_t(code);
      return;
    }
    byte(codes, 2) |= (code & 15) << (within / depth % 2 * 4);
    if (wtype == Q6)
      byte(codes + rows * block / 2, 4) |= (code >> 4)
                                           << (within / depth % 4 * 2);
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
  float scale(int t, int b) const { return at<float>(t, width, b); }
  int32_t sum(int t, int b) const {
    return at<int32_t>(t, width + width / 8, b);
  }
  /// The kernel's first three arguments, from token t and column k on.
  std::vector<void *> args(int t, int k) const {
    return {row(t) + k, row(t) + width + k / 8,
            row(t) + width + width / 8 + k / 8};
  }

private:
  template <typename T>
  T at(int t, int start, int b) const {
    T value;
    std::memcpy(&value, row(t) + start + b * sizeof(T), sizeof(T));
    return value;
  }
};

} // namespace lfmc::halide::test

#endif // LFMC_TESTS_CODEGEN_HALIDE_QUANTIZEDFIXTURE_H

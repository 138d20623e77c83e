// SPDX-License-Identifier: Apache-2.0
#include "codegen/quantize/Lanes.h"

#include "codegen/quantize/Simd.h"

#include <cstring>

namespace lfmc {

namespace {

// A value for each lane, at any address of floats. Written with vector types:
// the vectoriser prefers other loops and then gathers.
using Vector [[gnu::vector_size(4 * lanes), gnu::aligned(4), gnu::may_alias]] =
    float;

// To the nearest integer, ties to even, by x + magic - magic for |x| < 2^22:
// without a call at any level of x86-64.
constexpr float magic = 12582912.0f;

} // namespace

LFMC_SIMD void roundLanes(const LaneBlock &block, const LaneGrid &grid,
                          float *loss, float *codes, float *errors) {
  Vector work[maxBlock], sum = {};
  std::memcpy(work, block.values, block.n * sizeof work[0]);
  const Vector scale = *(const Vector *)grid.scale;
  const Vector inverse = *(const Vector *)grid.inverse;
  const Vector minimum = *(const Vector *)grid.minimum;
  const Vector low = grid.low - Vector{}, high = grid.high - Vector{};
  for (int64_t j = 0; j < block.n; ++j) {
    Vector position = (work[j] - minimum) * inverse;
    position = __builtin_elementwise_min(
        __builtin_elementwise_max(position, low), high);
    Vector code = (position + magic) - magic;
    Vector error = (work[j] - (scale * code + minimum)) * block.weight[j];
    sum += error * error;
    if (codes)
      *(Vector *)(codes + j * lanes) = code;
    if (errors)
      *(Vector *)(errors + j * lanes) = error;
    if (!block.factor)
      continue;
    const float *factor = block.factor + j * maxBlock;
    for (int64_t k = j + 1; k < block.n; ++k)
      work[k] -= error * factor[k];
  }
  *(Vector *)loss = sum;
}

LFMC_SIMD void feedLanes(float *values, int64_t columns, const float *errors,
                         int64_t n, const float *factor, int64_t stride) {
  // As many independent sums as cover the latency of a multiply-add with 512
  // bits, and as registers of 256 bits hold.
  constexpr int tile = 6;
  int64_t k = 0;
  for (; k + tile <= columns; k += tile) {
    Vector sums[tile] = {};
    const float *f = factor + k * stride;
    for (int64_t j = 0; j < n; ++j) {
      Vector error = *(const Vector *)(errors + j * lanes);
#pragma clang loop unroll(full)
      for (int i = 0; i < tile; ++i)
        sums[i] += error * f[i * stride + j];
    }
    for (int i = 0; i < tile; ++i)
      *(Vector *)(values + (k + i) * lanes) -= sums[i];
  }
  for (; k < columns; ++k) {
    Vector sum = {};
    for (int64_t j = 0; j < n; ++j)
      sum += *(const Vector *)(errors + j * lanes) * factor[k * stride + j];
    *(Vector *)(values + k * lanes) -= sum;
  }
}

LFMC_SIMD void settleLanes(int64_t n, const LaneGrid &grid, const float *matrix,
                           int64_t pitch, const float *values,
                           const float *gradient, float *codes, float *scale) {
  Vector work[maxBlock];
  std::memcpy(work, gradient, n * sizeof work[0]);
  const Vector scales = *(const Vector *)grid.scale;
  const Vector inverse = *(const Vector *)grid.inverse;
  const Vector minimum = *(const Vector *)grid.minimum;
  const Vector low = grid.low - Vector{}, high = grid.high - Vector{};
  Vector *code = (Vector *)codes;
  for (int64_t j = 0; j < n; ++j) {
    const float *row = matrix + j * pitch;
    Vector old = *(const Vector *)(values + j * lanes);
    Vector position = (old - work[j] * (1 / row[j]) - minimum) * inverse;
    position = __builtin_elementwise_min(
        __builtin_elementwise_max(position, low), high);
    code[j] = (position + magic) - magic;
    Vector change = scales * code[j] + minimum - old;
    for (int64_t k = 0; k < n; ++k)
      work[k] += change * row[k];
  }
  // With q = scale * code + minimum: the derivative by the scale, and by it
  // twice.
  Vector slope = {}, curve = {};
  for (int64_t j = 0; j < n; ++j) {
    const float *row = matrix + j * pitch;
    Vector product = {};
    for (int64_t k = 0; k < n; ++k)
      product += code[k] * row[k];
    slope += code[j] * work[j];
    curve += code[j] * product;
  }
  for (int64_t l = 0; l < lanes; ++l)
    scale[l] = grid.scale[l] - (curve[l] > 0 ? slope[l] / curve[l] : 0.0f);
}

LFMC_SIMD void addMoments(float *sums, int64_t size, const float *rows,
                          int64_t stride, int64_t n) {
  // Tiles of [tile][lanes] in registers.
  constexpr int64_t tile = 4;
  for (int64_t i = 0; i < size; i += tile)
    for (int64_t j = 0; j < i + tile; j += lanes) {
      Vector a = {}, b = {}, c = {}, d = {};
      for (int64_t t = 0; t < n; ++t) {
        const float *x = rows + t * stride;
        Vector across = *(const Vector *)(x + j);
        a += across * x[i];
        b += across * x[i + 1];
        c += across * x[i + 2];
        d += across * x[i + 3];
      }
      float *to = sums + i * size + j;
      *(Vector *)to += a;
      *(Vector *)(to + size) += b;
      *(Vector *)(to + 2 * size) += c;
      *(Vector *)(to + 3 * size) += d;
    }
}

} // namespace lfmc

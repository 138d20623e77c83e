// SPDX-License-Identifier: Apache-2.0
#include "codegen/quantize/Lanes.h"

#include "codegen/pack/Simd.h"

#include <cstring>

namespace lfmc {

namespace {

// A value for each lane, at any address of floats. Written with vector types:
// the vectoriser prefers other loops and then gathers.
using Vector [[gnu::vector_size(4 * lanes), gnu::aligned(4), gnu::may_alias]] =
    float;

// Half as many: a tile of them is what sixteen registers of 256 bits hold.
constexpr int64_t share = lanes / 2;
using Share [[gnu::vector_size(4 * share), gnu::aligned(4), gnu::may_alias]] =
    float;

// To the nearest integer, ties to even, by x + magic - magic for |x| < 2^22:
// without a call at any level of x86-64.
constexpr float magic = 12582912.0f;

// A slab of errors to `tile` columns and a share of the lanes.
template <int64_t tile>
[[gnu::always_inline]] inline void feedTile(float *values, const float *errors,
                                            const float *factor) {
  Share sums[tile] = {};
  for (int64_t j = 0; j < slab; ++j) {
    Share error = *(const Share *)(errors + j * lanes);
#pragma clang loop unroll(full)
    for (int64_t i = 0; i < tile; ++i)
      sums[i] += error * factor[i * slab + j];
  }
  for (int64_t i = 0; i < tile; ++i)
    *(Share *)(values + i * lanes) -= sums[i];
}

} // namespace

LFMC_SIMD void roundLanes(const LaneBlock &block, const LaneGrid &grid,
                          float *loss, float *codes, float *errors) {
  Vector error[maxBlock], sum = {};
  const Vector scale = *(const Vector *)grid.scale;
  const Vector inverse = *(const Vector *)grid.inverse;
  const Vector minimum = *(const Vector *)grid.minimum;
  const Vector low = grid.low - Vector{}, high = grid.high - Vector{};
  // Two columns at a time take what the errors before them leave.
  for (int64_t k = 0; k < block.n; k += 2) {
    const float *factor = block.factor ? block.factor + k * maxBlock : nullptr;
    Vector work[2] = {*(const Vector *)block.values[k],
                      *(const Vector *)block.values[k + 1]};
    if (factor)
      for (int64_t j = 0; j < k; ++j) {
        work[0] -= error[j] * factor[j];
        work[1] -= error[j] * factor[maxBlock + j];
      }
#pragma clang loop unroll(full)
    for (int64_t i = 0; i < 2; ++i) {
      if (i == 1 && factor)
        work[1] -= error[k] * factor[maxBlock + k];
      Vector position = (work[i] - minimum) * inverse;
      position = __builtin_elementwise_min(
          __builtin_elementwise_max(position, low), high);
      Vector code = (position + magic) - magic;
      Vector &of = error[k + i];
      of = (work[i] - (scale * code + minimum)) * block.weight[k + i];
      sum += of * of;
      if (codes)
        *(Vector *)(codes + (k + i) * lanes) = code;
      if (errors)
        *(Vector *)(errors + (k + i) * lanes) = of;
    }
  }
  *(Vector *)loss = sum;
}

LFMC_SIMD void feedLanes(float *values, int64_t columns, const float *errors,
                         int64_t n, const float *factor, int64_t size) {
  // As many independent sums as registers of 256 bits hold.
  constexpr int64_t tile = 6;
  for (int64_t first = 0; first < n; first += slab)
    for (int64_t k = 0; k < columns; k += tile) {
      const float *f = factor + first * size + k * slab;
      // Both shares while the tile's factors are in the first cache.
      for (int64_t at = 0; at < lanes; at += share) {
        const float *from = errors + first * lanes + at;
        float *to = values + k * lanes + at;
        if (k + tile <= columns) {
          feedTile<tile>(to, from, f);
          continue;
        }
        for (int64_t i = 0; i < columns - k; ++i)
          feedTile<1>(to + i * lanes, from, f + i * slab);
      }
    }
}

LFMC_SIMD void settleLanes(int64_t n, const LaneGrid &grid, const float *matrix,
                           const float *values, const float *gradient,
                           float *codes, float *scale) {
  Vector work[maxBlock];
  std::memcpy(work, gradient, n * sizeof work[0]);
  const Vector scales = *(const Vector *)grid.scale;
  const Vector inverse = *(const Vector *)grid.inverse;
  const Vector minimum = *(const Vector *)grid.minimum;
  const Vector low = grid.low - Vector{}, high = grid.high - Vector{};
  Vector *code = (Vector *)codes;
  for (int64_t j = 0; j < n; ++j) {
    const float *row = matrix + j * n;
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
    const float *row = matrix + j * n;
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

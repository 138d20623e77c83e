// SPDX-License-Identifier: Apache-2.0
#include "codegen/pack/Dequantize.h"
#include "codegen/pack/Simd.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

namespace lfmc::pack {

const char *formatName(Format format) {
  switch (format) {
  case Format::F32:
    return "f32";
  case Format::BF16:
    return "bf16";
  case Format::F16:
    return "f16";
  default:
    return "";
  }
}

namespace {

// Branch-free, so that the loops below vectorise at any x86-64 level.

struct F32 {
  using Bits = uint32_t;
  static constexpr Bits exponent = 0x7f800000;
  static float load(Bits bits) { return std::bit_cast<float>(bits); }
  static Bits store(float value) { return std::bit_cast<Bits>(value); }
};

struct BF16 {
  using Bits = uint16_t;
  static constexpr Bits exponent = 0x7f80;
  static float load(Bits bits) {
    return std::bit_cast<float>(uint32_t(bits) << 16);
  }
  static Bits store(float value) {
    uint32_t bits = std::bit_cast<uint32_t>(value);
    return Bits((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
  }
};

struct F16 {
  using Bits = uint16_t;
  static constexpr Bits exponent = 0x7c00;
  static float load(Bits bits) {
    uint32_t magnitude = bits & 0x7fffu;
    // 112 = the difference of the exponents' biases.
    uint32_t normal = (magnitude << 13) + (112u << 23);
    uint32_t subnormal =
        std::bit_cast<uint32_t>(float(int32_t(magnitude)) * 0x1p-24f);
    uint32_t infinite = (magnitude << 13) | 0x7f800000u;
    uint32_t value = magnitude < 0x400u     ? subnormal
                     : magnitude >= 0x7c00u ? infinite
                                            : normal;
    return std::bit_cast<float>(value | (uint32_t(bits & 0x8000u) << 16));
  }
  static Bits store(float value) {
    uint32_t bits = std::bit_cast<uint32_t>(value);
    uint32_t magnitude = bits & 0x7fffffffu;
    uint32_t rounded = magnitude + 0xfffu + ((magnitude >> 13) & 1u);
    uint32_t normal = (rounded - (112u << 23)) >> 13;
    // One unit of 0.5f's last place is the smallest f16: the addition rounds.
    uint32_t subnormal =
        std::bit_cast<uint32_t>(std::bit_cast<float>(magnitude) + 0.5f) -
        0x3f000000u;
    uint32_t half = magnitude < 0x38800000u    ? subnormal
                    : magnitude >= 0x477ff000u ? 0x7c00u
                                               : normal;
    return Bits(half | ((bits >> 16) & 0x8000u));
  }
};

template <typename From, typename To>
[[gnu::always_inline]] inline bool convertLoop(const uint8_t *from, uint8_t *to,
                                               int64_t n) {
  using FromBits = typename From::Bits;
  using ToBits = typename To::Bits;
  // Large enough to vectorise well, small enough for the first cache level.
  constexpr int64_t block = 512;
  uint32_t bad = 0; // a narrower one keeps the loop from being vectorised
  for (int64_t begin = 0; begin < n; begin += block) {
    int64_t count = n - begin < block ? n - begin : block;
    FromBits in[block];
    ToBits out[block];
    std::memcpy(in, from + begin * sizeof(FromBits), count * sizeof(FromBits));
    // Not several vectors at once: scales come in dozens.
#pragma clang loop interleave(disable)
    for (int64_t i = 0; i < count; ++i) {
      if constexpr (std::is_same_v<From, To>)
        out[i] = in[i];
      else
        out[i] = To::store(From::load(in[i]));
      // A NaN or infinity stays one, or rounds to something else in integer
      // arithmetic (bf16), so that the source counts as well.
      bad |= uint32_t((out[i] & To::exponent) == To::exponent);
      bad |= uint32_t((in[i] & From::exponent) == From::exponent);
    }
    std::memcpy(to + begin * sizeof(ToBits), out, count * sizeof(ToBits));
  }
  return bad == 0;
}

template <typename From>
[[gnu::always_inline]] inline bool
convertFrom(const uint8_t *from, Format toFormat, uint8_t *to, int64_t n) {
  switch (toFormat) {
  case Format::F32:
    return convertLoop<From, F32>(from, to, n);
  case Format::BF16:
    return convertLoop<From, BF16>(from, to, n);
  case Format::F16:
    return convertLoop<From, F16>(from, to, n);
  default:
    return false;
  }
}

LFMC_SIMD bool convertElements(Format fromFormat, const uint8_t *from,
                               Format toFormat, uint8_t *to, int64_t n) {
  switch (fromFormat) {
  case Format::F32:
    return convertFrom<F32>(from, toFormat, to, n);
  case Format::BF16:
    return convertFrom<BF16>(from, toFormat, to, n);
  case Format::F16:
    return convertFrom<F16>(from, toFormat, to, n);
  default:
    return false;
  }
}

// Blocks, through f32.
bool convertBlocks(Format fromFormat, const uint8_t *from, Format toFormat,
                   uint8_t *to, int64_t n, int64_t first) {
  auto [elements, bytes] = blockShape(fromFormat);
  float values[256];
  bool good = true;
  for (int64_t end = first + n; first < end;) {
    int64_t skipped = first % elements;
    int64_t count = std::min(end - first, elements - skipped);
    dequantizeBlock(fromFormat, from + first / elements * bytes, values);
    good &= convert(Format::F32,
                    reinterpret_cast<const uint8_t *>(values + skipped),
                    toFormat, to, count);
    first += count;
    to += count * formatBytes(toFormat);
  }
  return good;
}

} // namespace

bool convert(Format fromFormat, const uint8_t *from, Format toFormat,
             uint8_t *to, int64_t n, int64_t first) {
  if (blockShape(fromFormat).elements > 1)
    return convertBlocks(fromFormat, from, toFormat, to, n, first);
  return convertElements(fromFormat, from + first * formatBytes(fromFormat),
                         toFormat, to, n);
}

int64_t findBad(Format fromFormat, const uint8_t *from, Format toFormat,
                int64_t n, int64_t first) {
  uint8_t one[4];
  for (int64_t i = 0; i < n; ++i)
    if (!convert(fromFormat, from, toFormat, one, 1, first + i))
      return i;
  return -1;
}

float valueAt(Format format, const uint8_t *data, int64_t index) {
  float value;
  convert(format, data, Format::F32, reinterpret_cast<uint8_t *>(&value), 1,
          index);
  return value;
}

} // namespace lfmc::pack

// SPDX-License-Identifier: Apache-2.0
#include "codegen/pack/Dequantize.h"

#include <algorithm>
#include <cstring>

namespace lfmc::pack {

BlockShape blockShape(Format format) {
  switch (format) {
  case Format::F32:
  case Format::BF16:
  case Format::F16:
    return {1, formatBytes(format)};
  case Format::Q4_0:
    return {32, 18};
  case Format::Q4_1:
    return {32, 20};
  case Format::Q5_0:
    return {32, 22};
  case Format::Q8_0:
    return {32, 34};
  case Format::Q4_K:
    return {256, 144};
  case Format::Q5_K:
    return {256, 176};
  case Format::Q6_K:
    return {256, 210};
  }
  return {1, 1};
}

static float half(const uint8_t *at) { return valueAt(Format::F16, at, 0); }

/// 4-bit codes: the low halves of 16 bytes, then the high ones.
static void nibbles(const uint8_t *from, int8_t *codes) {
  for (int i = 0; i < 16; ++i) {
    codes[i] = int8_t(from[i] & 15);
    codes[i + 16] = int8_t(from[i] >> 4);
  }
}

// Q4_0, Q5_0 and Q8_0: value = scale * code.
static void readCodes(Format format, const uint8_t *block, int8_t *codes) {
  block += 2;
  if (format == Format::Q8_0) {
    std::memcpy(codes, block, 32);
    return;
  }
  uint32_t fifth = 0;
  if (format == Format::Q5_0) {
    std::memcpy(&fifth, block, 4);
    block += 4;
  }
  nibbles(block, codes);
  int zero = format == Format::Q5_0 ? 16 : 8;
  for (int i = 0; i < 32; ++i)
    codes[i] = int8_t(codes[i] + int((fifth >> i & 1) << 4) - zero);
}

// Sub-block `i` of 8: a scale and a minimum of 6 bits each.
static void scaleAndMin(const uint8_t *packed, int i, int &scale, int &least) {
  if (i < 4) {
    scale = packed[i] & 63;
    least = packed[i + 4] & 63;
  } else {
    scale = (packed[i + 4] & 15) | packed[i - 4] >> 6 << 4;
    least = packed[i + 4] >> 4 | packed[i] >> 6 << 4;
  }
}

// Q4_K and Q5_K, whose `fifth` are the codes' high bits (null for Q4_K).
static void superBlock(const uint8_t *block, const uint8_t *fifth,
                       const uint8_t *codes, float *values) {
  float factor = half(block), leastFactor = half(block + 2);
  for (int i = 0; i < 8; ++i) {
    int scale, least;
    scaleAndMin(block + 4, i, scale, least);
    float d = factor * float(scale), m = leastFactor * float(least);
    const uint8_t *from = codes + i / 2 * 32;
    for (int j = 0; j < 32; ++j) {
      int code = i % 2 ? from[j] >> 4 : from[j] & 15;
      if (fifth)
        code |= (fifth[j] >> i & 1) << 4;
      float product = d * float(code);
      *values++ = product - m;
    }
  }
}

static void q6k(const uint8_t *block, float *values) {
  float factor = half(block + 208);
  for (int part = 0; part < 2; ++part) {
    const uint8_t *low = block + 64 * part, *high = block + 128 + 32 * part;
    const auto *scales =
        reinterpret_cast<const int8_t *>(block + 192 + 8 * part);
    for (int i = 0; i < 4; ++i)
      for (int j = 0; j < 32; ++j) {
        uint8_t byte = low[j + i % 2 * 32];
        int code = (i < 2 ? byte & 15 : byte >> 4) | (high[j] >> (2 * i) & 3)
                                                         << 4;
        float d = factor * float(scales[2 * i + j / 16]);
        *values++ = d * float(code - 32);
      }
  }
}

void dequantizeBlock(Format format, const uint8_t *block, float *values) {
  switch (format) {
  case Format::Q4_K:
    return superBlock(block, nullptr, block + 16, values);
  case Format::Q5_K:
    return superBlock(block, block + 16, block + 48, values);
  case Format::Q6_K:
    return q6k(block, values);
  default:
    break;
  }
  int8_t codes[32];
  if (format == Format::Q4_1) {
    float d = half(block), m = half(block + 2);
    nibbles(block + 4, codes);
    for (int i = 0; i < 32; ++i) {
      float product = d * float(codes[i]);
      values[i] = product + m;
    }
    return;
  }
  readCodes(format, block, codes);
  float d = half(block);
  for (int i = 0; i < 32; ++i)
    values[i] = d * float(codes[i]);
}

static bool isFinite(uint16_t half) { return (half & 0x7c00) != 0x7c00; }

static bool toHalf(float value, uint16_t &half) {
  return convert(Format::F32, reinterpret_cast<const uint8_t *>(&value),
                 Format::F16, reinterpret_cast<uint8_t *>(&half), 1);
}

bool holdsCodes(Format format, const Blocks &blocks) {
  if (blocks.block != 32)
    return false;
  switch (format) {
  case Format::Q4_0:
    return true;
  case Format::Q4_1:
  case Format::Q4_K:
    return blocks.minimum;
  case Format::Q5_0:
    return blocks.bits > 4;
  case Format::Q8_0:
    return blocks.bits == 8;
  default:
    return false;
  }
}

// Q4_K: a part of a block has its own factors.
static bool keepPart(const uint8_t *block, int part, int8_t *codes,
                     BlockScale &scale) {
  int factor, least;
  scaleAndMin(block + 4, part, factor, least);
  const uint8_t *from = block + 16 + part / 2 * 32;
  for (int i = 0; i < 32; ++i)
    codes[i] = int8_t(part % 2 ? from[i] >> 4 : from[i] & 15);
  return toHalf(half(block) * float(factor), scale.scale) &&
         toHalf(-half(block + 2) * float(least), scale.minimum);
}

static bool readBlock(Format format, const uint8_t *data, int64_t index,
                      const Blocks &blocks, int8_t *codes, BlockScale &scale) {
  auto [elements, bytes] = blockShape(format);
  const uint8_t *block = data + index * 32 / elements * bytes;
  if (format == Format::Q4_K)
    return keepPart(block, int(index % 8), codes, scale);
  std::memcpy(&scale.scale, block, 2);
  if (format == Format::Q4_1) {
    std::memcpy(&scale.minimum, block + 2, 2);
    nibbles(block + 4, codes);
  } else if (blocks.minimum) {
    nibbles(block + 2, codes); // Q4_0, counted from its least value
    if (!toHalf(-8 * half(block), scale.minimum))
      return false;
  } else {
    readCodes(format, block, codes);
  }
  return isFinite(scale.scale) && isFinite(scale.minimum) &&
         std::find(codes, codes + 32, -128) == codes + 32;
}

bool keepCodes(Format format, const uint8_t *data, int64_t index,
               const Blocks &blocks, int8_t *codes, BlockScale &scale) {
  int8_t read[32];
  BlockScale readScale;
  if (!holdsCodes(format, blocks) ||
      !readBlock(format, data, index, blocks, read, readScale))
    return false;
  std::memcpy(codes, read, sizeof read);
  scale = readScale;
  return true;
}

} // namespace lfmc::pack

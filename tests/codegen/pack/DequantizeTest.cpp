// SPDX-License-Identifier: Apache-2.0
//
// GGUF's blocks against the values that the reference package gives them.
#include "codegen/pack/Dequantize.h"
#include "codegen/pack/RowQuantizer.h"

#include "codegen/pack/Plan.h"
#include "frontend/Gguf.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <map>

using namespace lfmc;
using namespace lfmc::pack;

namespace {

class BlockTypes : public testing::TestWithParam<DType> {
protected:
  void SetUp() override {
    auto header = readGguf(LFMC_TEST_DATA "/gguf/blocks.gguf", &buffer);
    ASSERT_TRUE(bool(header)) << llvm::toString(header.takeError());
    std::string name = dtypeName(GetParam()).str();
    for (const TensorInfo &info : header->tensors) {
      auto *data = reinterpret_cast<const uint8_t *>(buffer->getBufferStart() +
                                                     info.begin);
      if (info.name == name) {
        ASSERT_EQ(info.dtype, GetParam());
        blocks = data;
        bytes = int64_t(info.numBytes());
        count = info.numElements();
      } else if (info.name == name + ".f32") {
        wanted.resize(info.numElements());
        std::memcpy(wanted.data(), data, info.numBytes());
      }
    }
    ASSERT_GT(count, 0);
    ASSERT_EQ(int64_t(wanted.size()), count);
  }

  Format format() const { return formatOf(GetParam()); }
  std::vector<float> values(int64_t first, int64_t n) const {
    std::vector<float> result(n);
    EXPECT_TRUE(convert(format(), blocks, Format::F32,
                        reinterpret_cast<uint8_t *>(result.data()), n, first));
    return result;
  }

  std::unique_ptr<llvm::MemoryBuffer> buffer;
  const uint8_t *blocks = nullptr;
  int64_t bytes = 0, count = 0;
  std::vector<float> wanted;
};

TEST_P(BlockTypes, HaveTheReferencesValues) {
  EXPECT_EQ(values(0, count), wanted);
}

TEST_P(BlockTypes, HaveTheirTypesSize) {
  BlockShape shape = blockShape(format());
  EXPECT_EQ(shape.elements, int64_t(dtypeElements(GetParam())));
  EXPECT_EQ(shape.bytes, int64_t(dtypeBytes(GetParam())));
  EXPECT_EQ(count / shape.elements * shape.bytes, bytes);
}

TEST_P(BlockTypes, AreReadFromAnyElement) {
  for (int64_t first : {1, 31, 32, 33, 100})
    for (int64_t n : {0, 1, 27, 28}) {
      std::vector<float> part(wanted.begin() + first,
                              wanted.begin() + first + n);
      EXPECT_EQ(values(first, n), part) << first << " " << n;
    }
}

TEST_P(BlockTypes, BecomeBf16AsTheirValuesDo) {
  std::vector<uint16_t> direct(count), through(count);
  EXPECT_TRUE(convert(format(), blocks, Format::BF16,
                      reinterpret_cast<uint8_t *>(direct.data()), count));
  EXPECT_TRUE(convert(
      Format::F32, reinterpret_cast<const uint8_t *>(wanted.data()),
      Format::BF16, reinterpret_cast<uint8_t *>(through.data()), count));
  EXPECT_EQ(direct, through);
}

// The forms that hold a type's codes give its values; for Q4_K up to the
// rounding of two factors.
TEST_P(BlockTypes, KeepTheirValuesWhereAFormHoldsThem) {
  int forms = 0;
  for (Blocks form :
       {Blocks{32, 4}, {32, 4, true}, {32, 6}, {32, 8}, {64, 8}}) {
    if (!holdsCodes(format(), form))
      continue;
    ++forms;
    for (int64_t b = 0; b < count / 32; ++b) {
      int8_t codes[32];
      BlockScale scale;
      ASSERT_TRUE(keepCodes(format(), blocks, b, form, codes, scale));
      float least = std::abs(blockValue({0, scale.minimum}, 0));
      for (int i = 0; i < 32; ++i) {
        float value = wanted[b * 32 + i];
        float most = std::abs(value) + 2 * least;
        EXPECT_NEAR(blockValue(scale, codes[i]), value,
                    GetParam() == DType::Q4_K ? most / 1024 : 0);
        EXPECT_GE(codes[i], form.minimum ? 0 : -(1 << (form.bits - 1)));
        EXPECT_LT(codes[i], 1 << (form.minimum ? 4 : form.bits - 1));
      }
    }
  }
  std::map<DType, int> wantedForms = {{DType::Q4_0, 4},
                                      {DType::Q4_1, 1},
                                      {DType::Q5_0, 2},
                                      {DType::Q8_0, 1},
                                      {DType::Q4_K, 1}};
  EXPECT_EQ(forms, wantedForms[GetParam()]);
}

// What kernels do not take is rounded to a block that they do.
TEST(KeepCodes, LeavesOutWhatKernelsDoNotTake) {
  std::vector<uint8_t> block(34, 1);
  int8_t codes[32];
  BlockScale scale;
  EXPECT_TRUE(keepCodes(Format::Q8_0, block.data(), 0, {32, 8}, codes, scale));
  block[7] = 0x80; // a code of -128
  EXPECT_FALSE(keepCodes(Format::Q8_0, block.data(), 0, {32, 8}, codes, scale));
  Matrix matrix;
  matrix.columns = 32;
  matrix.pieces = {{block.data(), 1, Format::Q8_0}};
  EXPECT_FALSE(
      quantizeRows(matrix, {0}, {32, 8}, NearestQuantizer(), codes, &scale));
  EXPECT_EQ(codes[5], -127);
  // Nor are codes those of values that are multiplied on the way.
  block[7] = 1;
  std::vector<float> factors(32, 1);
  factors[3] = 2;
  matrix.columnFactors = factors.data();
  EXPECT_FALSE(
      quantizeRows(matrix, {0}, {32, 8}, NearestQuantizer(), codes, &scale));
  EXPECT_EQ(codes[3], 127);
  EXPECT_EQ(codes[4], 64);
  block[1] = 0x7c; // an infinite scale
  EXPECT_FALSE(keepCodes(Format::Q8_0, block.data(), 0, {32, 8}, codes, scale));
  auto bad =
      quantizeRows(matrix, {0}, {32, 8}, NearestQuantizer(), codes, &scale);
  ASSERT_TRUE(bad);
  EXPECT_EQ(bad->index, 0);
}

// An infinite scale is found and named.
TEST_P(BlockTypes, BadScalesAreFound) {
  std::vector<uint8_t> damaged(blocks, blocks + bytes);
  BlockShape shape = blockShape(format());
  int64_t at = format() == Format::Q6_K ? 208 : 0;
  damaged[shape.bytes + at] = 0;
  damaged[shape.bytes + at + 1] = 0x7c;
  std::vector<float> values(count);
  auto *to = reinterpret_cast<uint8_t *>(values.data());
  EXPECT_FALSE(convert(format(), damaged.data(), Format::F32, to, count));
  EXPECT_EQ(findBad(format(), damaged.data(), Format::F32, count),
            shape.elements);
  EXPECT_FALSE(
      std::isfinite(valueAt(format(), damaged.data(), shape.elements)));
}

std::string nameOf(const testing::TestParamInfo<DType> &info) {
  return dtypeName(info.param).str();
}
INSTANTIATE_TEST_SUITE_P(Types, BlockTypes,
                         testing::Values(DType::Q4_0, DType::Q4_1, DType::Q5_0,
                                         DType::Q8_0, DType::Q4_K, DType::Q5_K,
                                         DType::Q6_K),
                         nameOf);

} // namespace

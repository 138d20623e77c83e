// SPDX-License-Identifier: Apache-2.0
#include "PackFixture.h"

#include "dialects/lfm2/Storage.h"
#include "runtime/include/lfm/program.h"

#include <cmath>

using namespace lfmc;

namespace {

const char *moduleText = R"(
lfm2.weight @norm : tensor<8xf32, #lfm2.stored<f32>>
  = #lfm2.source<"norm"> at 16384
lfm2.weight @fused : tensor<6x4xf32, #lfm2.stored<bf16, <rows = 2, depth = 2>>>
  = #lfm2.source<"q", "k"> at 16512
lfm2.weight @conv : tensor<8x3xf32, #lfm2.stored<f32, <rows = 8, depth = 1>>>
  = #lfm2.source<"conv"> at 16640
lfm2.weight @rope : tensor<5x4xf32, #lfm2.stored<f32>>
  = #lfm2.rope_table<<theta = 1.0e+04 : f64, dim = 4>> at 16768
)";

class Pack : public PackTest {
protected:
  void SetUp() override {
    PackTest::SetUp();
    writeCheckpoint({{{"norm", DType::F32, {8}}, iota(8, 1)},
                     {{"q", DType::F32, {4, 4}}, iota(16)},
                     {{"k", DType::F32, {2, 4}}, iota(8, 16)},
                     {{"conv", DType::F32, {8, 1, 3}}, iota(24)}});
  }
};

TEST_F(Pack, PlacesEveryTensor) {
  ASSERT_EQ(pack(moduleText), "");
  EXPECT_EQ(packed.fileBytes, 16768u + 128);
  ASSERT_EQ(file.size(), packed.fileBytes);
  lfm_weights_header header;
  std::memcpy(&header, file.data(), sizeof header);
  EXPECT_EQ(std::memcmp(header.magic, LFM_WEIGHTS_MAGIC, 8), 0);
  EXPECT_EQ(header.file_bytes, file.size());
  EXPECT_EQ(std::memcmp(header.id, packed.id.data(), 16), 0);
  for (int i = 0; i < 8; ++i)
    EXPECT_EQ(f32At(16384 + 4 * i), float(i + 1));
  // [panel][group][row][depth]: elements of q below 16 and k from 16 are exact
  // in bf16.
  const int order[] = {0,  1,  4,  5,  2,  3,  6,  7,  8,  9,  12, 13,
                       10, 11, 14, 15, 16, 17, 20, 21, 18, 19, 22, 23};
  for (int i = 0; i < 24; ++i) {
    uint32_t bits = uint32_t(u16At(16512 + 2 * i)) << 16;
    float value;
    std::memcpy(&value, &bits, 4);
    EXPECT_EQ(value, float(order[i])) << i;
  }
  // The transpose.
  for (int tap = 0; tap < 3; ++tap)
    for (int h = 0; h < 8; ++h)
      EXPECT_EQ(f32At(16640 + 4 * (tap * 8 + h)), float(h * 3 + tap));
  for (int pos = 0; pos < 5; ++pos)
    for (int i = 0; i < 2; ++i) {
      float angle = float(pos) * (i ? 0.01f : 1.0f);
      EXPECT_NEAR(f32At(16768 + 4 * (pos * 4 + i)), std::cos(angle), 1e-7);
      EXPECT_NEAR(f32At(16768 + 4 * (pos * 4 + 2 + i)), std::sin(angle), 1e-7);
    }
}

TEST_F(Pack, IdIsOfTheContents) {
  ASSERT_EQ(pack(moduleText, 1), "");
  auto first = packed.id;
  std::vector<char> bytes = file;
  ASSERT_EQ(pack(moduleText, 3), "");
  EXPECT_EQ(packed.id, first) << "must not depend on threads";
  EXPECT_EQ(file, bytes);
  std::vector<float> changed = iota(24);
  changed[23] = 0.5f;
  writeCheckpoint({{{"norm", DType::F32, {8}}, iota(8, 1)},
                   {{"q", DType::F32, {4, 4}}, iota(16)},
                   {{"k", DType::F32, {2, 4}}, iota(8, 16)},
                   {{"conv", DType::F32, {8, 1, 3}}, changed}});
  ASSERT_EQ(pack(moduleText), "");
  EXPECT_NE(packed.id, first);
}

TEST_F(Pack, FindsTensorsByTheGivenNames) {
  auto module = parse(R"(lfm2.weight @n : tensor<8xf32, #lfm2.stored<f16>>
      = #lfm2.source<"model.norm"> at 16384)");
  WeightSource source{*checkpoint, [&](llvm::StringRef name) {
                        name.consume_front("model.");
                        return checkpoint->find(name);
                      }};
  uint64_t last = 0, total = 0;
  PackOptions options{2, [&](uint64_t done, uint64_t all) {
                        last = done;
                        total = all;
                      }};
  auto result = packWeights(*module, source, dir + "/w", options);
  ASSERT_TRUE(bool(result)) << llvm::toString(result.takeError());
  EXPECT_EQ(last, 16u);
  EXPECT_EQ(total, 16u);
  EXPECT_EQ(llvm::cantFail(weightsFileBytes(*module)), result->fileBytes);
}

TEST_F(Pack, LargeMatricesAcrossManyParts) {
  const int64_t n = 3072, k = 2048;
  std::vector<float> values(n * k);
  for (int64_t i = 0; i < n * k; ++i)
    values[i] = float((i * 2654435761u) % 251) - 125;
  writeCheckpoint({{{"w", DType::F32, {n, k}}, values}});
  ASSERT_EQ(pack(R"(lfm2.weight @w
      : tensor<3072x2048xf32, #lfm2.stored<bf16, <rows = 64, depth = 2, halves = true>>>
      = #lfm2.source<"w"> at 16384)"),
            "");
  for (int64_t place : {0, 1, 127, 128, 70000, 1234567, 3072 * 2048 - 1}) {
    int64_t depth = place % 2, r = place / 2 % 64, group = place / 128 % 1024,
            panel = place / (128 * 1024);
    int64_t row = r / 32 * (n / 2) + panel * 32 + r % 32;
    uint32_t bits = uint32_t(u16At(16384 + 2 * place)) << 16;
    float value;
    std::memcpy(&value, &bits, 4);
    EXPECT_EQ(value, values[row * k + group * 2 + depth]) << place;
  }
}

TEST(Storage, BytesOfWeightsAndStates) {
  mlir::MLIRContext context;
  context.loadDialect<lfm2::Lfm2Dialect>();
  auto type = [&](const char *text) { return mlir::parseType(text, &context); };
  EXPECT_EQ(lfm2::weightBytes(type("tensor<6x4xf32, #lfm2.stored<bf16>>")),
            48u);
  EXPECT_EQ(lfm2::weightBytes(type(
                "tensor<6x4xf32, #lfm2.stored<f32, <rows = 2, depth = 2>>>")),
            96u);
  EXPECT_EQ(lfm2::weightBytes(type("tensor<5xf32, #lfm2.stored<f16>>")), 10u);
  EXPECT_EQ(lfm2::weightBytes(type("tensor<5xf32>")), 0u);
  EXPECT_EQ(lfm2::stateBytes(type("tensor<16x2x8xf16>")), 512u);
  EXPECT_EQ(lfm2::stateBytes(type("tensor<2x8xf32>")), 64u);
  EXPECT_EQ(lfm2::alignStorage(0), 0u);
  EXPECT_EQ(lfm2::alignStorage(65), 128u);
}

} // namespace

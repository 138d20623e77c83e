// SPDX-License-Identifier: Apache-2.0
//
// The instructions of quantized kernels: the ones meant, as often as the
// arithmetic needs them and no oftener, and none that a CPU of the level lacks.
#include "tests/codegen/halide/Assembly.h"
#include "tests/codegen/halide/QuantizedFixture.h"

namespace lfmc::halide::test {
namespace {

TEST(Instructions, VnniMultipliesInFours) {
  const std::pair<int, int> tiles[] = {{16, 1}, {16, 4}, {32, 1}, {32, 6}};
  for (int wtype : allQuantized)
    for (auto [rows, tokens] : tiles) {
      SCOPED_TRACE(testing::Message() << "wtype " << wtype << " rows " << rows
                                      << " tokens " << tokens);
      std::string text = assembly(quantizedTile(wtype, rows, tokens), "vnni");
      // 32 columns in fours.
      EXPECT_EQ(count(text, "vpdpbusd\t.*zmm"), rows / 16 * 8 * tokens);
      EXPECT_EQ(count(text, "vpmadd"), 0);
      // Sums and codes stay in registers, but for a few of the largest tile.
      EXPECT_LE(count(text, "vmov.*, -?[0-9]*\\(%rsp"), tokens == 6 ? 6 : 0);
    }
}

// Codes of more than four bits are multiplied in two parts.
TEST(Instructions, Avx2AndAvx512MultiplyInPairs) {
  const std::pair<const char *, int> isas[] = {{"v3", 8}, {"v4", 16}};
  for (auto [isa, rows] : isas)
    for (int wtype : allQuantized)
      for (int tokens : {1, 4}) {
        const int parts = wtype == Q8 || wtype == Q6 ? 2 : 1;
        std::string text = assembly(quantizedTile(wtype, rows, tokens), isa);
        EXPECT_EQ(count(text, "vpmaddubsw\t"), 8 * tokens * parts)
            << isa << " wtype " << wtype;
        EXPECT_EQ(count(text, "vpmaddwd\t"), tokens * parts)
            << isa << " wtype " << wtype;
      }
}

// All accumulators and the weights of two columns stay in registers.
TEST(Instructions, Bf16MultipliesInPairs) {
  for (int tokens : {1, 6}) {
    MicroKernel kernel{"linear",
                       {{"rows", 64},
                        {"k", 1024},
                        {"wtype", 1},
                        {"xtype", 1},
                        {"dot", 1},
                        {"tokens", tokens}},
                       {}};
    std::string text = assembly(kernel, "vnni");
    EXPECT_EQ(count(text, "vdpbf16ps\t.*zmm"), 4 * 4 * tokens);
    EXPECT_EQ(count(text, "vfmadd"), 0);
    EXPECT_EQ(count(text, "vmov.*, -?[0-9]*\\(%rsp"), 0);
  }
}

TEST(Instructions, ArmMultipliesInFours) {
  for (int wtype : {Q8, Q4})
    for (int tokens : {1, 4}) {
      std::string text = assemblyBy([&](Emit what, const std::string &path) {
        return emit(quantizedTile(wtype, 4, tokens), "kernel",
                    "arm-64-linux-arm_dot_prod", what, path);
      });
      EXPECT_EQ(count(text, "sdot\t"), 8 * tokens);
    }
}

// Keys are asked for while values are multiplied, and the other way round: all
// lines of a block, once.
TEST(Instructions, AttentionOfOneTokenReadsAhead) {
  for (int kvtype : {0, 2, 3}) {
    SCOPED_TRACE(kvtype);
    const int block = 128, dim = 64,
              bytes = kvtype == 0   ? 4
                      : kvtype == 2 ? 2
                                    : 1;
    auto prefetches = [&](int tokens) {
      MicroKernel kernel{"attention_block",
                         {{"dim", dim},
                          {"block", block},
                          {"group", 2},
                          {"tokens", tokens},
                          {"kvtype", kvtype}},
                         {{"scale", 0.125}}};
      return count(assembly(kernel, "vnni"), "prefetch[a-z0-9]+\t");
    };
    // Of values with each dimension of the keys, of keys with each position.
    const int lines =
        std::max(1, block * bytes / 64) + std::max(1, dim * bytes / 64);
    EXPECT_EQ(prefetches(1) % lines, 0); // loops may be unrolled
    EXPECT_GE(prefetches(1), lines);
    EXPECT_EQ(prefetches(4), 0);
  }
}

TEST(Instructions, VnniUsesNothingThatIceLakeLacks) {
  const MicroKernel kernels[] = {
      quantizedTile(Q8, 16, 1),
      quantizedTile(Q4, 16, 8),
      quantizedTile(Q4, 24, 3),
      quantizedTile(Q6, 16, 16),
      quantizedTile(Q4M, 16, 1),
      {"quantize", {{"width", 2048}}, {}},
      {"rms_norm_quantize", {{"width", 2048}}, {{"eps", 1e-5}}},
      {"embed_q", {{"rows", 16}, {"width", 2048}}, {}},
      {"linear", {{"rows", 32}, {"k", 64}, {"wtype", 1}, {"tokens", 4}}, {}},
      {"linear", {{"rows", 32}, {"k", 64}, {"wtype", 2}}, {}},
      {"rope", {{"dim", 64}, {"ytype", 2}}, {}},
      {"copy", {{"dim", 64}, {"ytype", 2}}, {}},
      {"attention_block",
       {{"dim", 64}, {"block", 64}, {"kvtype", 2}},
       {{"scale", 0.125}}},
      {"attention_block",
       {{"dim", 64}, {"block", 64}, {"kvtype", 3}},
       {{"scale", 0.125}}},
      {"quantize_heads", {{"dim", 64}, {"heads", 8}}, {}},
      {"attention_finish", {{"dim", 64}}, {}},
      {"attention_combine", {{"dim", 64}}, {}},
      {"short_conv", {{"channels", 64}}, {}}};
  for (const MicroKernel &kernel : kernels) {
    std::string text = assembly(kernel, "vnni");
    // Zen 4 has BF16 and SSE4A besides, and its own cache instructions.
    EXPECT_EQ(count(text, "(extrq|insertq|movnts[sd]|clzero|v[a-z0-9]*bf16)"),
              0)
        << describe(kernel);
    // Sapphire Rapids has FP16 besides.
    EXPECT_EQ(count(text, "(vcvtph2psx|vcvtps2phx|vmov(w|sh)|v(add|sub|mul|div|"
                          "min|max|sqrt|f[a-z]+[0-9]+)[ps]h)\t"),
              0)
        << describe(kernel);
  }
}

} // namespace
} // namespace lfmc::halide::test

// SPDX-License-Identifier: Apache-2.0
//
// The instructions of quantized kernels: the ones meant, as often as the
// arithmetic needs them and no oftener, and none that a CPU of the level lacks.
#include "tests/codegen/halide/Harness.h"

#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>
#include <unistd.h>

namespace lfmc::halide::test {
namespace {

std::string assemblyFor(const MicroKernel &kernel, const std::string &target) {
  const std::string path = std::filesystem::path(::testing::TempDir()) /
                           ("lfmc_" + std::to_string(getpid()) + ".s");
  EXPECT_EQ(emit(kernel, "kernel", target, Emit::Assembly, path), "");
  std::ifstream in(path);
  std::stringstream text;
  text << in.rdbuf();
  std::filesystem::remove(path);
  return text.str();
}

std::string assembly(const MicroKernel &kernel, const std::string &isa) {
  for (const Isa &candidate : allIsas())
    if (candidate.name == isa)
      return assemblyFor(kernel, candidate.target);
  ADD_FAILURE() << "no instruction set " << isa;
  return "";
}

long count(const std::string &text, const std::string &pattern) {
  const std::regex regex("\\n\\t" + pattern);
  return std::distance(std::sregex_iterator(text.begin(), text.end(), regex),
                       std::sregex_iterator());
}

MicroKernel tile(int wtype, int rows, int tokens) {
  return {"linear_q",
          {{"wtype", wtype}, {"rows", rows}, {"tokens", tokens}, {"k", 2048}},
          {}};
}

TEST(Instructions, VnniMultipliesInFours) {
  for (int wtype : {3, 4})
    for (int tokens : {1, 6, 12}) {
      std::string text = assembly(tile(wtype, 16, tokens), "vnni");
      // 32 columns in fours.
      EXPECT_EQ(count(text, "vpdpbusd\t.*zmm"), 8 * tokens);
      EXPECT_EQ(count(text, "vpmadd"), 0);
      // Accumulators and codes stay in registers.
      EXPECT_EQ(count(text, "vmov.*, -?[0-9]*\\(%rsp"), 0);
    }
}

TEST(Instructions, Avx2MultipliesInPairs) {
  for (int tokens : {1, 4}) {
    std::string text = assembly(tile(4, 8, tokens), "v3");
    EXPECT_EQ(count(text, "vpmaddubsw\t.*ymm"), 8 * tokens);
    EXPECT_EQ(count(text, "vpmaddwd\t.*ymm"), tokens);
    text = assembly(tile(3, 8, tokens), "v3");
    EXPECT_EQ(count(text, "vpmaddubsw\t.*ymm"), 16 * tokens);
    EXPECT_EQ(count(text, "vpmaddwd\t.*ymm"), 2 * tokens);
  }
}

TEST(Instructions, ArmMultipliesInFours) {
  for (int wtype : {3, 4})
    for (int tokens : {1, 4}) {
      std::string text =
          assemblyFor(tile(wtype, 4, tokens), "arm-64-linux-arm_dot_prod");
      EXPECT_EQ(count(text, "sdot\t"), 8 * tokens);
    }
}

TEST(Instructions, VnniUsesNothingThatIceLakeLacks) {
  const MicroKernel kernels[] = {
      tile(3, 16, 1),
      tile(4, 16, 8),
      tile(4, 24, 3),
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
      {"attention_finish", {{"dim", 64}}, {}},
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

// SPDX-License-Identifier: Apache-2.0
//
// The instructions of the LLVM microkernels: the ones meant, as often as the
// arithmetic needs them, and who compiles what.
#include "tests/codegen/llvm/micro/MicroAssembly.h"

#include <algorithm>
#include <sstream>

namespace lfmc::halide::test {
namespace {

TEST(MicroInstructions, AvxVnniMultipliesInFours) {
  for (int wtype : allQuantized)
    for (int tokens : {1, 4, 6}) {
      SCOPED_TRACE(testing::Message() << wtype << ' ' << tokens);
      std::string text = assembly(quantizedTile(wtype, 16, tokens), "v3_vnni");
      EXPECT_EQ(count(text, "vpdpbusd\t.*ymm"), 2 * 8 * tokens);
      // Two vectors of rows share a broadcast of four columns; scales, sums and
      // masks are the others.
      EXPECT_LE(count(text, "vpbroadcastd\t.*ymm"), 8 * tokens + 24);
      EXPECT_EQ(count(text, "(vpmaddubsw|call[a-z]*)\t"), 0);
      // No EVEX encodings: processors with AVX-VNNI may lack AVX-512.
      EXPECT_EQ(count(text, "[a-z].*(zmm|%k[0-7]|ymm(1[6-9]|2[0-9]|3[01]))"),
                0);
    }
}

TEST(MicroInstructions, WideTilesMultiplyAndLittleElse) {
  struct {
    const char *target, *reg;
    int rows, tokens;
  } machines[] = {{"x86-64-v3-vnni", "ymm", 16, 6},
                  {"x86-64-v4-vnni", "zmm", 32, 12}};
  for (const auto &machine : machines) {
    SCOPED_TRACE(machine.target);
    MicroKernel kernel = quantizedTile(Q4, machine.rows, machine.tokens);
    kernel.ints["k"] = 1024;
    kernel.ints["group"] = 256;
    std::string text = assemblyFor(kernel, machine.target);
    const int tokens = machine.tokens;
    auto times = [&](const std::string &name) {
      return count(text, name + "\t.*" + machine.reg);
    };
    // Eight steps of four columns; two vectors share a broadcast. Nothing is
    // spilled: the loop has no other loads but those of the codes.
    EXPECT_EQ(times("vpdpbusd"), 8 * 2 * tokens);
    EXPECT_LE(count(text, "vpbroadcastd\t[^%]*\\("),
              9 * tokens); // and their sums
    EXPECT_EQ(times("vcvtdq2ps"), 2 * tokens);
    EXPECT_EQ(count(text, "vfmadd[0-9]+ps\t.*" + std::string(machine.reg)),
              2 * tokens);
  }
}

// Per block of 32 columns, vector of rows and token: a product for four
// columns, additions of 16 bits while sums fit, then what takes them to 32.
TEST(MicroInstructions, PairsStayInRegisters) {
  struct {
    const char *target, *reg;
    int rows, lanes, group, blocks[3]; // tokens together: group; q8, q6, q4
  } machines[] = {{"x86-64-v3", "ymm", 16, 8, 3, {5, 4, 5}},
                  {"x86-64-v4", "zmm", 32, 16, 6, {13, 12, 13}}};
  for (const auto &machine : machines) {
    SCOPED_TRACE(machine.target);
    std::string text;
    auto times = [&](const std::string &name) {
      return count(text, name + "\t.*" + machine.reg);
    };
    MicroKernel tile = quantizedTile(Q4, machine.rows, 24);
    tile.ints["k"] = 1024;
    tile.ints["group"] = 256;
    tile.ints["pairs"] = 1;
    text = assemblyFor(tile, machine.target);
    const int sums = 2 * machine.group;
    EXPECT_EQ(times("vpmaddubsw"), 8 * sums);
    EXPECT_EQ(times("vpaddw"), 7 * sums);
    EXPECT_EQ(times("vpmaddwd"), sums);
    EXPECT_EQ(times("vpaddd"), sums);
    EXPECT_EQ(times("vcvtdq2ps"), sums);
    struct {
      int wtype, together, words; // additions of 16 bits
    } formats[] = {{Q8, machine.blocks[0], 0},
                   {Q6, machine.blocks[1], 4},
                   {Q4, machine.blocks[2], 7},
                   {Q4M, machine.blocks[2], 7}};
    for (const auto &format : formats) {
      SCOPED_TRACE(format.wtype);
      tile = quantizedTile(format.wtype, machine.rows, 4 * format.together);
      tile.ints["pairs"] = 1;
      text = assemblyFor(tile, machine.target);
      const int all = 2 * format.together;
      EXPECT_EQ(times("vpmaddubsw"), 8 * all);
      EXPECT_EQ(times("vpaddw"), format.words * all);
      // With the products of the activations' sums by the offset, but q4m's.
      EXPECT_EQ(times("vpmaddwd"),
                (8 - format.words) * all +
                    (format.wtype == Q4M ? 0 : format.together));
    }
  }
}

// What Zen 4 and older cores may want of a target with 512 bits: none of them
// wide, not even those that end a tile.
TEST(MicroInstructions, HalvesOfVectorsStayHalves) {
  auto tile = [](int wtype, int rows, int tokens, int64_t lanes) {
    MicroKernel kernel = quantizedTile(wtype, rows, tokens);
    kernel.ints["lanes"] = lanes;
    return kernel;
  };
  for (int wtype : allQuantized)
    for (int tokens : {1, 6, 12}) {
      SCOPED_TRACE(testing::Message() << wtype << ' ' << tokens);
      std::string half =
          assemblyFor(tile(wtype, 16, tokens, 8), "x86-64-v4-vnni");
      EXPECT_EQ(count(half, "vpdpbusd\t.*ymm"), 2 * 8 * tokens);
      EXPECT_EQ(count(half, "[a-z].*zmm"), 0);
      std::string whole =
          assemblyFor(tile(wtype, 32, tokens, 16), "x86-64-v4-vnni");
      EXPECT_EQ(count(whole, "vpdpbusd\t.*zmm"), 2 * 8 * tokens);
    }
  for (bool swiglu : {false, true}) {
    MicroKernel wide = tile(Q4, 16, 12, 8);
    wide.ints["k"] = 1024;
    wide.ints["group"] = 256;
    wide.ints["swiglu"] = swiglu;
    std::string text = assemblyFor(wide, "x86-64-v4-vnni");
    // 24 sums stay in 32 registers; nothing is spilled in the loop.
    EXPECT_EQ(count(text, "vpdpbusd\t.*ymm"), 8 * 2 * 12);
    EXPECT_EQ(count(text, "[a-z].*zmm"), 0);
  }
  MicroKernel panel{"wide_panel",
                    {{"wtype", Q4},
                     {"rows", 16},
                     {"block", 32},
                     {"depth", 4},
                     {"k", 512},
                     {"group", 256},
                     {"lanes", 8}},
                    {}};
  std::string text = assemblyFor(panel, "x86-64-v4-vnni");
  EXPECT_GT(count(text, "vpmullw\t.*ymm"), 0);
  EXPECT_EQ(count(text, "[a-z].*zmm"), 0);
}

TEST(MicroInstructions, MatrixProductsAreWholeTiles) {
  for (int wtype : allQuantized)
    for (int tokens : {8, 16, 64}) {
      SCOPED_TRACE(testing::Message() << wtype << ' ' << tokens);
      std::string text = assembly(quantizedTile(wtype, 16, tokens), "amx");
      // Four blocks of columns to the tokens' tiles.
      const int tiles = tokens == 64 ? 4 : 1;
      EXPECT_EQ(count(text, "tdpbssd\t"), 4 * tiles);
      EXPECT_EQ(count(text, "tilestored\t"), 4 * tiles);
      EXPECT_EQ(count(text, "tileloadd\t"), 4 + 4 * tiles);
      EXPECT_EQ(count(text, "ldtilecfg\t"), 1);
      EXPECT_EQ(count(text, "tilerelease"), 1);
      // One conversion of each integer sum; units come from memory.
      EXPECT_EQ(count(text, "vcvtdq2ps\t.*zmm"), 4 * tokens);
      EXPECT_GE(count(text, "vmulps\t.*1to16"), 4 * tokens);
    }
}

TEST(MicroBackends, WhoCompilesWhat) {
  const Target &vnni = *llvm::cantFail(findTarget("x86-64-v3-vnni"));
  const Target &amx = *llvm::cantFail(findTarget("x86-64-amx"));
  const Target &avx512 = *llvm::cantFail(findTarget("x86-64-v4-vnni"));
  auto backend = [](int rows, int tokens, const Target &target) {
    return microBackend(quantizedTile(Q4, rows, tokens), target);
  };
  EXPECT_EQ(backend(16, 1, vnni), MicroBackend::Dot);
  EXPECT_EQ(backend(8, 6, vnni), MicroBackend::Dot);
  EXPECT_EQ(backend(4, 6, vnni), MicroBackend::Halide);
  EXPECT_EQ(backend(16, 64, amx), MicroBackend::Matrix);
  EXPECT_EQ(backend(16, 8, amx), MicroBackend::Matrix);
  EXPECT_EQ(backend(16, 4, amx), MicroBackend::Halide);
  EXPECT_EQ(backend(8, 64, amx), MicroBackend::Halide);
  EXPECT_EQ(backend(16, 16, avx512), MicroBackend::Halide);
  const Target &dot = *llvm::cantFail(findTarget("aarch64-linux+dotprod"));
  EXPECT_EQ(backend(4, 3, dot), MicroBackend::ArmDot);
  EXPECT_EQ(backend(12, 3, dot), MicroBackend::Halide);
  auto attention = [](const char *target, std::map<std::string, int64_t> more) {
    MicroKernel kernel = attentionStep(1, 128);
    for (const auto &[name, value] : more)
      kernel.ints[name] = value;
    return microBackend(kernel, *llvm::cantFail(findTarget(target)));
  };
  for (const char *target : {"aarch64-linux+fhm", "raspberry-pi-5"}) {
    EXPECT_EQ(attention(target, {}), MicroBackend::ArmAttention);
    // f32 and q8; a K cache of other order; odd dimensions.
    EXPECT_EQ(attention(target, {{"kvtype", 0}}), MicroBackend::Halide);
    EXPECT_EQ(attention(target, {{"kvtype", 3}}), MicroBackend::Halide);
    EXPECT_EQ(attention(target, {{"lanes", 8}}), MicroBackend::Halide);
    EXPECT_EQ(attention(target, {{"dim", 30}}), MicroBackend::Halide);
  }
  EXPECT_EQ(attention("aarch64-linux+dotprod+i8mm", {}), MicroBackend::Halide);
  EXPECT_EQ(microBackend({"quantize", {{"width", 64}}, {}}, amx),
            MicroBackend::Halide);
  auto inLanes = [](int rows, int64_t lanes, const Target &target) {
    MicroKernel kernel = quantizedTile(Q4, rows, 4);
    kernel.ints["lanes"] = lanes;
    return microBackend(kernel, target);
  };
  EXPECT_EQ(inLanes(16, 8, avx512), MicroBackend::Dot);
  EXPECT_EQ(inLanes(16, 16, avx512), MicroBackend::Dot);
  EXPECT_EQ(inLanes(8, 16, avx512), MicroBackend::Halide);
  EXPECT_EQ(inLanes(16, 16, vnni), MicroBackend::Halide);
  EXPECT_EQ(inLanes(16, 4, avx512), MicroBackend::Halide);
}

TEST(MicroErrors, NameFamilyAndParameter) {
  const Target &target = *llvm::cantFail(findTarget("x86-64-v3-vnni"));
  auto message = [&](const char *parameter, int64_t value) {
    MicroKernel kernel = quantizedTile(Q4, 16, 1);
    kernel.ints[parameter] = value;
    return emitMicro(kernel, "kernel", target, Emit::Object, "/nonexistent/k");
  };
  EXPECT_EQ(message("tokens", 1),
            "microkernel 'linear_q': cannot write '/nonexistent/k': No such "
            "file or directory");
  EXPECT_EQ(message("block", 48), "microkernel 'linear_q': parameter 'block' "
                                  "is 48, expected 32, 64 or 128");
  EXPECT_EQ(message("colour", 1), "microkernel 'linear_q': unknown parameter "
                                  "'colour' (value 1)");
  EXPECT_EQ(message("lanes", 16),
            "microkernel 'linear_q': parameter 'lanes' wants a target with "
            "VNNI, vectors of so many rows and whole ones in a tile");
}

TEST(MicroErrors, OfAttention) {
  auto message = [](std::map<std::string, int64_t> more) {
    MicroKernel kernel = attentionStep(1, 128);
    for (const auto &[name, value] : more)
      kernel.ints[name] = value;
    return emitMicro(kernel, "kernel",
                     *llvm::cantFail(findTarget("aarch64-linux+fhm")),
                     Emit::Object, "/nonexistent/k");
  };
  EXPECT_EQ(message({{"block", 8192}}), "microkernel 'attention_block': tokens "
                                        "* group * block exceeds 8192");
  EXPECT_EQ(message({{"colour", 1}}), "microkernel 'attention_block': unknown "
                                      "parameter 'colour' (value 1)");
  EXPECT_EQ(message({{"tokens", 0}}),
            "microkernel 'attention_block': parameter "
            "'tokens' is 0, expected 1 to 1073741824");
}

TEST(MicroErrors, OfRewrittenWeights) {
  auto message = [](MicroKernel kernel, const char *target,
                    std::map<std::string, int64_t> more) {
    for (const auto &[name, value] : more)
      kernel.ints[name] = value;
    return emitMicro(kernel, "kernel", *llvm::cantFail(findTarget(target)),
                     Emit::Object, "/nonexistent/k");
  };
  const MicroKernel panel{"wide_panel",
                          {{"wtype", Q4},
                           {"rows", 16},
                           {"block", 128},
                           {"depth", 4},
                           {"k", 512},
                           {"group", 256}},
                          {}};
  const char *vnni = "x86-64-v3-vnni", *arm = "aarch64-linux+dotprod+i8mm";
  EXPECT_EQ(message(panel, vnni, {{"wtype", Q8}}),
            "microkernel 'wide_panel': parameter 'group' wants weights of q4");
  for (int64_t group : {64, 384})
    EXPECT_EQ(message(panel, vnni, {{"group", group}}),
              "microkernel 'wide_panel': parameter 'group' must be a multiple "
              "of 'block' and divide 'k'");
  EXPECT_EQ(message(panel, vnni, {{"rows", 12}}),
            "microkernel 'wide_panel': parameter 'rows' wants whole vectors");
  const MicroKernel tile = quantizedTile(Q4, 16, 8);
  EXPECT_EQ(message(tile, "x86-64-v3", {{"k", 512}, {"group", 256}}),
            "microkernel 'linear_q': parameter 'group' wants a target with "
            "VNNI and whole vectors of rows");
  const std::string pairs =
      "parameter 'pairs' wants x86 with AVX2 and whole vectors of rows";
  EXPECT_EQ(message(tile, arm, {{"pairs", 1}}),
            "microkernel 'linear_q': " + pairs);
  EXPECT_EQ(message(quantizedTile(Q8, 12, 8), "x86-64-v3", {{"pairs", 1}}),
            "microkernel 'linear_q': " + pairs);
  EXPECT_EQ(message(panel, "x86-64-v2", {{"pairs", 1}}),
            "microkernel 'wide_panel': " + pairs);
  EXPECT_EQ(
      message(tile, "x86-64-v3", {{"k", 1024}, {"group", 512}, {"pairs", 1}}),
      "microkernel 'linear_q': parameter 'group' is more than the 256 "
      "columns whose sums fit 32 bits in pairs");
  EXPECT_EQ(message(tile, vnni, {{"k", 512}, {"group", 48}}),
            "microkernel 'linear_q': parameter 'group' is 48, expected a "
            "multiple of 32 that divides the 512 columns");
  EXPECT_EQ(message(quantizedTile(Q6, 16, 8), arm,
                    {{"k", 512}, {"group", 256}, {"quads", 1}}),
            "microkernel 'linear_q': parameter 'group' wants weights of q4");
  const std::string outer =
      "microkernel 'linear_q': parameter 'outer' wants a target with sme, a "
      "'group', panels of 16 rows, and 16 tokens or a multiple of 32";
  const char *sme = "aarch64-linux+dotprod+i8mm+sme";
  EXPECT_EQ(message(quantizedTile(Q4, 16, 32), arm,
                    {{"k", 512}, {"group", 256}, {"outer", 1}}),
            outer);
  for (int tokens : {8, 48})
    EXPECT_EQ(message(quantizedTile(Q4, 16, tokens), sme,
                      {{"k", 512}, {"group", 256}, {"outer", 1}}),
              outer);
  EXPECT_EQ(message(quantizedTile(Q6, 16, 32), sme,
                    {{"k", 512}, {"group", 256}, {"outer", 1}}),
            "microkernel 'linear_q': parameter 'group' wants weights of q4");
  EXPECT_EQ(message({"quads", {{"k", 320}, {"group", 256}}, {}}, arm, {}),
            "microkernel 'quads': parameter 'k' must be a multiple of 'group', "
            "and that of 32");
}

} // namespace
} // namespace lfmc::halide::test

// SPDX-License-Identifier: Apache-2.0
//
// The instructions of the LLVM microkernels: the ones meant, as often as the
// arithmetic needs them, and who compiles what.
#include "tests/codegen/halide/Assembly.h"
#include "tests/codegen/halide/QuantizedFixture.h"

#include "codegen/llvm/micro/Micro.h"

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

std::string assemblyFor(const MicroKernel &kernel, const char *target) {
  return assemblyBy([&](Emit what, const std::string &path) {
    return emitMicro(kernel, "kernel", *llvm::cantFail(findTarget(target)),
                     what, path);
  });
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

/// Instructions of the loop of inline assembly.
std::vector<std::string> armLoop(const std::string &text) {
  const size_t assembly = text.find("//APP");
  const size_t begin = text.find(".Ltmp", assembly);
  const size_t end = text.find("b.ne", begin);
  EXPECT_NE(end, std::string::npos);
  if (assembly > begin || begin > end || end == std::string::npos)
    return {};
  std::vector<std::string> lines;
  std::istringstream stream(text.substr(begin, end - begin));
  std::string line;
  std::getline(stream, line); // the label
  for (; stream >> line; std::getline(stream, line))
    lines.push_back(line);
  return lines;
}

TEST(MicroInstructions, MatrixLoopOfArmScalesAndLittleElse) {
  for (int wtype : allQuantized)
    for (int k : {2048, 96}) { // two blocks at once, and one
      SCOPED_TRACE(testing::Message() << wtype << ' ' << k);
      MicroKernel kernel = quantizedTile(wtype, 16, 8);
      kernel.ints["quads"] = 1;
      kernel.ints["k"] = k;
      std::vector<std::string> loop =
          armLoop(assemblyFor(kernel, "aarch64-linux+dotprod+i8mm"));
      const long blocks = k == 96 ? 1 : 2;
      auto times = [&](const char *name) {
        return std::count(loop.begin(), loop.end(), name);
      };
      EXPECT_EQ(times("smmla"), 64 * blocks);
      EXPECT_EQ(times("scvtf"), 16 * blocks);
      EXPECT_EQ(times("ld2r"), (wtype == Q4M ? 9 : 1) * blocks);
      if (wtype == Q4M) { // minima are added for themselves
        EXPECT_EQ(long(loop.size()), 203 * blocks + 1);
        continue;
      }
      // Zeros come with the scales; all else is 2 loads of a pair of rows and 3
      // of activations.
      EXPECT_EQ(times("movi"), 0);
      EXPECT_EQ(times("fmla"), 16 * blocks);
      EXPECT_EQ(times("ld1"), 18 * blocks);
      EXPECT_EQ(long(loop.size()), 131 * blocks + 1);
    }
}

/// Mnemonics of the loop of ArmDot, from its first load of weights on.
std::vector<std::string> dotLoop(const std::string &text) {
  const size_t first = text.find("\tsdot\t");
  const size_t begin = text.rfind(".LBB", first);
  std::vector<std::string> names;
  std::istringstream stream(
      text.substr(begin, text.find("\tb.", first) - begin));
  for (std::string line; std::getline(stream, line);)
    if (line.size() > 1 && line[0] == '\t' && std::islower(line[1]))
      names.push_back(line.substr(1, line.find('\t', 1) - 1));
  return names;
}

TEST(MicroInstructions, DotLoopOfArmIsInItsOrder) {
  struct {
    int wtype, tokens, most, unpacked; // a run of masks
  } loops[] = {{Q8, 1, 296, 0},  {Q8, 2, 500, 0}, {Q4, 1, 394, 8},
               {Q4, 2, 600, 2},  {Q6, 1, 538, 4}, {Q6, 2, 796, 4},
               {Q4M, 1, 462, 8}, {Q4M, 2, 780, 2}};
  for (const auto &l : loops) {
    SCOPED_TRACE(testing::Message() << l.wtype << ' ' << l.tokens);
    const std::vector<std::string> loop = dotLoop(assemblyFor(
        quantizedTile(l.wtype, 16, l.tokens), "aarch64-linux+dotprod"));
    auto times = [&](const char *name) {
      return std::count(loop.begin(), loop.end(), name);
    };
    // Four blocks of 16 rows. Weights come in pairs of vectors, by one
    // operation of an N1 and not three.
    EXPECT_EQ(times("sdot"), 4 * 32 * l.tokens);
    EXPECT_EQ(times("scvtf"), (4 * 4 + (l.wtype == Q4M)) * l.tokens);
    const int bits = l.wtype == Q8 ? 8 : l.wtype == Q6 ? 6 : 4;
    EXPECT_EQ(times("ldnp"), 4 * (2 * bits + (l.wtype == Q4M ? 2 : 1)));
    EXPECT_EQ(times("fcvtl2"), times("fcvtl"));
    EXPECT_LE(long(loop.size()), l.most);
    // Nothing is spilled, but the sums of q6 are in memory for two tokens.
    const long stores = times("str") + 2 * times("stp");
    EXPECT_LE(stores, l.wtype == Q6 && l.tokens == 2    ? 4 * 8
                      : l.wtype == Q4M && l.tokens == 2 ? 22
                                                        : 0);
    // Masks, of the shortest latency, lie together: only additions that wait
    // for nothing, shifts and first sums are between them.
    long run = 0, least = 1000;
    for (const std::string &name : loop)
      if (name == "and") {
        ++run;
      } else if (run && name != "fmla" && name != "dup") {
        least = std::min(least, run);
        run = 0;
      }
    if (l.unpacked)
      EXPECT_GE(least, l.unpacked);
  }
}

TEST(MicroInstructions, SixBitCodesOfArmTakeFewOperations) {
  std::string text =
      assemblyFor(quantizedTile(Q6, 16, 1), "aarch64-linux+dotprod");
  // Of 16 columns: a load of two bits each, two of four; 8 operations.
  EXPECT_EQ(count(text, "sri\t"), 4 * 8);
  EXPECT_EQ(count(text, "sli\t"), 4 * 8 * 2);
  EXPECT_EQ(count(text, "bif\t"), 4 * 8);
  EXPECT_EQ(count(text, "mov\tv"), 0);
  EXPECT_LE(count(text, "[a-z]"), 640);
}

/// What stands between each label and the next conditional branch.
std::vector<std::string> armBlocks(const std::string &text) {
  std::vector<std::string> blocks;
  std::istringstream stream(text);
  bool open = false;
  for (std::string line; std::getline(stream, line);) {
    if (line.rfind(".L", 0) == 0) {
      blocks.emplace_back("\n");
      open = true;
    } else if (open) {
      blocks.back() += line + "\n";
    }
    open = open && line.rfind("\tb.", 0) != 0;
  }
  return blocks;
}

MicroKernel attentionStep(int tokens, int block) {
  return {"attention_block",
          {{"dim", 64},
           {"group", 2},
           {"tokens", tokens},
           {"block", block},
           {"kvtype", 2}},
          {{"scale", 0.125}}};
}

// Halves are multiplied as they lie: nothing is converted, and loops hold
// products and loads. One token asks for all lines of the other cache.
TEST(MicroInstructions, AttentionOfArmMultipliesHalves) {
  for (auto [tokens, block] : {std::pair{1, 128}, {16, 64}}) {
    SCOPED_TRACE(tokens);
    std::string text =
        assemblyFor(attentionStep(tokens, block), "aarch64-linux+dotprod+fhm");
    EXPECT_EQ(count(text, "fcvtl"), 0);
    int loops = 0;
    for (const std::string &body : armBlocks(text)) {
      if (count(body, "fmlal") < 100)
        continue;
      ++loops;
      // Eight steps of 16 sums.
      EXPECT_EQ(count(body, "fmlal\t.*\\.h\\["), 64);
      EXPECT_EQ(count(body, "fmlal2\t.*\\.h\\["), 64);
      EXPECT_EQ(count(body, "prfu?m\t"), tokens == 1 ? 8 : 0);
      EXPECT_LE(count(body, "[a-z]"), tokens == 1 ? 172 : 148);
      EXPECT_EQ(count(body, "[a-z].*\\[sp"), 0);
    }
    EXPECT_EQ(loops, 2);
  }
}

// Sums of a run, in f16, are widened once; twice the products an instruction.
TEST(MicroInstructions, AttentionOfArmAddsRunsInHalves) {
  for (auto [tokens, block] : {std::pair{1, 128}, {16, 64}}) {
    SCOPED_TRACE(tokens);
    std::string text =
        assemblyFor(attentionStep(tokens, block), "raspberry-pi-5");
    EXPECT_EQ(count(text, "fmlal"), 0);
    int loops = 0;
    for (const std::string &body : armBlocks(text)) {
      const long products = count(body, "(fmla|fmul)\t.*8h.*\\.h\\[");
      if (products < 100)
        continue;
      ++loops;
      EXPECT_TRUE(products == 64 * 8 || products == 16 * 8) << products;
      EXPECT_EQ(count(body, "fcvtl"), 16);
      EXPECT_LE(count(body, "[a-z]"), products * 7 / 4 + 12);
    }
    EXPECT_EQ(loops, 2);
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

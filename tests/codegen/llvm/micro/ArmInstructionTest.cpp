// SPDX-License-Identifier: Apache-2.0
//
// Of the assembly of microkernels of the second backend for 64-bit Arm: what
// their loops are made of.
#include "tests/codegen/llvm/micro/MicroAssembly.h"

#include <algorithm>
#include <sstream>

namespace lfmc::halide::test {
namespace {

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
    int wtype, tokens, most, unpacked; // a run of masks, where they have one
    bool passes;                       // over two vectors of rows each
  } loops[] = {
      {Q8, 1, 296, 0, false},  {Q8, 2, 500, 0, false}, {Q8, 4, 952, 0, true},
      {Q4, 1, 394, 8, false},  {Q4, 2, 600, 2, false}, {Q4, 4, 1098, 0, true},
      {Q6, 1, 538, 4, false},  {Q6, 2, 764, 4, true},  {Q6, 4, 1240, 2, true},
      {Q4M, 1, 462, 8, false}, {Q4M, 2, 744, 0, true}, {Q4M, 4, 1304, 2, true}};
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
    const int scales = l.passes ? 0 : l.wtype == Q4M ? 2 : 1;
    EXPECT_EQ(times("ldnp"), 4 * (2 * bits + scales));
    EXPECT_EQ(times("fcvtl2"), times("fcvtl"));
    EXPECT_LE(long(loop.size()), l.most);
    // Nothing is spilled; four tokens' sums lie in memory between passes, and
    // their factors.
    const long stores = times("str") + 2 * times("stp");
    EXPECT_EQ(stores, l.tokens < 4 ? 0 : l.wtype == Q8 ? 16 : 16 + 8);
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

} // namespace
} // namespace lfmc::halide::test

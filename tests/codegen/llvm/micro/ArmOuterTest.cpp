// SPDX-License-Identifier: Apache-2.0
//
// linear_q of sixteens, on vectors of every length, and what it leaves of a
// caller's registers.
#include "tests/codegen/halide/Assembly.h"
#include "tests/codegen/llvm/micro/ArmWideFixture.h"

namespace lfmc::halide::test {
namespace {

constexpr const char *sme = "aarch64-linux+dotprod+i8mm+sme";
constexpr const char *lengths[] = {
    "max,sme=on,sme128=on", "max,sme=on,sme256=on", "max,sme=on,sme512=on",
    "max,sme=on,sme1024=on"};

class ArmOuter : public ArmKernel {};

// Codes [4 columns each][16 tokens][4], scales [group][16 tokens]
// (Sixteens.cpp).
const ArmRows sixteens = {[](const ArmShape &s, int token, int column) {
                            return token / 16 * s.k * 20 + column / 4 * 64 +
                                   token % 16 * 4 + column % 4;
                          },
                          [](const ArmShape &s, int token, int group) {
                            return std::vector<int>{token / 16 * s.k * 20 +
                                                    s.k * 16 + group * 64 +
                                                    token % 16 * 4};
                          }};

TEST_F(ArmOuter, HasTheBitsOfRewrittenWeights) {
  for (const ArmShape &s :
       {ArmShape{.tokens = 32, .panels = 2}, ArmShape{.tokens = 16},
        ArmShape{.block = 64, .k = 256, .tokens = 16, .panels = 2},
        ArmShape{.block = 128, .k = 384, .group = 128, .tokens = 64},
        // More than a segment, and a panel without another.
        ArmShape{.k = 2304, .tokens = 32, .panels = 3}}) {
    prepare(s, sixteens, sme, MicroBackend::ArmOuter, "outer",
            LFMC_SMOPA_MODEL " " LFMC_SME_CALLER " -Wl,--wrap=kernel");
    for (const char *cpu : lengths) {
      SCOPED_TRACE(testing::Message()
                   << s.block << ' ' << s.k << ' ' << s.group << ' ' << s.tokens
                   << ' ' << s.panels << ' ' << cpu);
      run(s, cpu);
    }
  }
}

constexpr const char *arranging = R"(
#include <stdio.h>
struct buffer { char device[16]; void *host; char rest[64]; };
int kernel(struct buffer *, struct buffer *);
static char rows[16 * K * 5 / 4], sixteen[sizeof rows];
int main(int argc, char **argv) {
  FILE *in = fopen(argv[1], "rb"), *out = fopen(argv[2], "wb");
  if (!in || !out || fread(rows, 1, sizeof rows, in) != sizeof rows) return 1;
  for (int t = 0; t < 16; t += 4) {
    struct buffer from = {{0}, rows + t * K * 5 / 4}, to = {{0}, sixteen + t * 4};
    if (kernel(&from, &to)) return 2;
  }
  return fwrite(sixteen, 1, sizeof sixteen, out) != sizeof sixteen ||
         fclose(out);
}
)";

TEST_F(ArmOuter, ReadsWhatIsArranged) {
  const ArmShape s{.k = 512, .tokens = 16};
  const int rowBytes = s.k * 5 / 4;
  Random random(3);
  std::vector<uint8_t> rows(size_t(16) * rowBytes), found(rows.size());
  for (uint8_t &byte : rows)
    byte = uint8_t(pick(random, 0, 255));
  ASSERT_EQ(emitMicro({"sixteens", {{"k", s.k}, {"group", s.group}}, {}},
                      "kernel", *llvm::cantFail(findTarget(sme)), Emit::Object,
                      place("k.o")),
            "");
  write("rows", rows.data(), rows.size());
  std::ofstream(place("driver.c")) << arranging;
  ASSERT_EQ(std::system(("cd " + dir.string() +
                         " && aarch64-linux-gnu-gcc -O1 -static -DK=512 "
                         "driver.c k.o -o driver && qemu-aarch64 -cpu max "
                         "./driver rows sixteen")
                            .c_str()),
            0);
  std::ifstream(place("sixteen"), std::ios::binary)
      .read(reinterpret_cast<char *>(found.data()),
            std::streamsize(found.size()));
  for (int t = 0; t < 16; ++t) {
    const uint8_t *row = &rows[size_t(t * rowBytes)];
    for (int column = 0; column < s.k; ++column)
      ASSERT_EQ(found[size_t(sixteens.code(s, t, column))], row[column]);
    for (int g = 0; g < s.groups(); ++g)
      ASSERT_EQ(std::memcmp(&found[size_t(sixteens.scales(s, t, g)[0])],
                            row + s.k + g * 4, 4),
                0);
  }
}

// Of four columns, one pair of loads for two panels and one for two
// sixteens; a tile's sums are stored as they are.
TEST(MicroInstructions, OuterLoopOfArmMultipliesWhatItLoads) {
  MicroKernel kernel = quantizedTile(Q4, 16, 128);
  kernel.ints["panels"] = 2;
  kernel.ints["group"] = 256;
  kernel.ints["outer"] = 1;
  const Target &target = *llvm::cantFail(findTarget(sme));
  const std::string text = assemblyBy([&](Emit what, const std::string &path) {
    return emitMicro(kernel, "kernel", target, what, path);
  });
  const size_t begin = text.find("zero\t{za}"),
               end = text.find("mov\tw12", begin);
  ASSERT_NE(end, std::string::npos);
  const std::string loop = text.substr(begin, end - begin);
  EXPECT_EQ(count(loop, "smopa\t"), 8);
  for (int tile = 0; tile < 4; ++tile)
    EXPECT_EQ(count(loop, "smopa\tza" + std::to_string(tile) + "\\.s"), 2);
  EXPECT_EQ(count(loop, "ld1b\t"), 8);
  EXPECT_LE(count(loop, "[a-z]"), 8 + 8 + 4 + 2); // and the group's end
  EXPECT_EQ(count(text, "st1w\t"), 4 * 4);
  EXPECT_EQ(count(text, "smstart"), 1);
  EXPECT_EQ(count(text, "smstop"), 1);
  EXPECT_EQ(count(text, "bl\t"), 0); // no routine of another library
  // Four tokens and a panel: each sum converted, scaled and added once.
  for (const char *name : {"scvtf\t", "fmla\t"})
    EXPECT_EQ(count(text, name), 2 * 16);
}

} // namespace
} // namespace lfmc::halide::test

// SPDX-License-Identifier: Apache-2.0
//
// linear_q of quads with "group", under qemu-aarch64, against plain C++: the
// same bits, from the stored weights on.
#include "tests/codegen/llvm/micro/ArmWideFixture.h"

namespace lfmc::halide::test {
namespace {

class ArmWide : public ArmKernel {};

// Where column `column` of token `t` lies (ArmTile.h): steps take columns 0 to
// 3 and 8 to 11, then 4 to 7 and 12 to 15, of each sixteen.
int quadPlace(const ArmShape &s, int t, int column) {
  const int within = column % 32;
  const int step = within / 16 * 2 + within / 4 % 2;
  const int eighth = within / 8 % 2 * 4 + within % 4;
  return t / 4 * s.k * 5 + column / 32 * 160 + t % 4 / 2 * 64 + step * 16 +
         t % 2 * 8 + eighth;
}

// Each of a group's blocks has its scale.
std::vector<int> quadScales(const ArmShape &s, int t, int group) {
  std::vector<int> places;
  for (int block = 0; block < s.group / 32; ++block)
    places.push_back(t / 4 * s.k * 5 + (group * s.group / 32 + block) * 160 +
                     128 + t % 4 * 4);
  return places;
}

TEST_F(ArmWide, HasTheBitsOfRewrittenWeights) {
  for (const ArmShape &s :
       {ArmShape{}, ArmShape{.block = 64, .tokens = 4},
        ArmShape{.block = 128, .k = 384, .group = 128},
        // More than a segment; panels of fewer rows.
        ArmShape{.k = 2304, .tokens = 12}, ArmShape{.rows = 4, .k = 256},
        ArmShape{.rows = 8}}) {
    SCOPED_TRACE(testing::Message() << s.rows << ' ' << s.block << ' ' << s.k
                                    << ' ' << s.group << ' ' << s.tokens);
    prepare(s, {quadPlace, quadScales}, "aarch64-linux+dotprod+i8mm",
            MicroBackend::ArmWide, "quads", "");
    if (HasFatalFailure())
      return;
    run(s, "max");
  }
}

} // namespace
} // namespace lfmc::halide::test

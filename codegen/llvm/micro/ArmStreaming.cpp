// SPDX-License-Identifier: Apache-2.0
//
// Integer sums by SME's outer products, in streaming mode. That is one piece of
// assembly from smstart to smstop: code of the compiler's has vectors of NEON,
// which streaming mode does not know, and the compiler's own ways into the mode
// call routines (__arm_tpidr2_save) that a kernel must not depend on.
//
// The calling convention (AAPCS64, SME): a function that says nothing of ZA may
// be called while ZA holds something of a caller's, whose place to be saved
// TPIDR2_EL0 then points to; whoever wants ZA saves it there first and clears
// TPIDR2_EL0. After the return ZA is off. Both changes of mode clear all vector
// and predicate registers, so that all count as written; the compiler keeps d8
// to d15 for the caller.
//
// Vectors may have 128 bits and more: of longer ones than 512 bits, 512 are
// used, shorter ones take the sixteen rows and the sixteen tokens in parts.
#include "codegen/llvm/micro/ArmOuter.h"

#include "llvm/IR/InlineAsm.h"

#include <fmt/format.h>

using namespace llvm;

namespace lfmc {
namespace {

class Streaming {
public:
  explicit Streaming(const OuterShape &shape)
      : s(shape), sixteens(shape.tokens % 32 ? 1 : 2) {}
  std::string assembly();

private:
  template <typename... T>
  void line(fmt::format_string<T...> text, T &&...values) {
    fmt::format_to(std::back_inserter(out), text, std::forward<T>(values)...);
    out += '\n';
  }
  void move(const char *to, int64_t value) {
    line("mov {}, #{}", to, value & 0xffff);
    if (value >> 16)
      line("movk {}, #{}, lsl #16", to, value >> 16);
  }
  /// to = from + bytes; x5 is written.
  void add(const char *to, const char *from, int64_t bytes) {
    move("x5", bytes);
    line("add {}, {}, x5", to, from);
  }
  void begin();
  void load(int first, const char *offset);
  void multiply(int first);
  void group();
  void store();

  const OuterShape s;
  const int64_t sixteens; ///< that are multiplied together
  std::string out;
};

// x0: the first sixteen; x1: codes; x2: sums; x3: bytes of a panel's codes.
// x4: bytes of an operand, x9: its lanes; x6 to x8: elements of one to three
// tokens' sums; x10: from a group's sums to the next; x11: pairs of sixteens
// left; x13, x14: bytes before the tokens and rows that are multiplied.
// Operands at x15, x16 (rows), x17, x20 (tokens) with x26 behind them, until
// x27; sums of tile i at x22 + i. w12 counts tokens of a tile.
constexpr const char *operands[] = {"x15", "x16", "x17", "x20"};

void Streaming::begin() {
  line("mrs x4, TPIDR2_EL0");
  line("cbz x4, 2f");
  line("ldr x6, [x4]");
  line("ldrh w7, [x4, #8]");
  line("rdsvl x8, #1");
  line("mov w12, #0");
  line("1: cmp w12, w7");
  line("b.hs 1f");
  line("str za[w12, #0], [x6]");
  line("add x6, x6, x8");
  line("add w12, w12, #1");
  line("b 1b");
  line("1: msr TPIDR2_EL0, xzr");
  line("2: smstart");
  line("rdsvl x4, #1");
  line("mov x5, #{}", outerTokenBytes);
  line("cmp x4, x5");
  line("csel x4, x4, x5, lo");
  line("lsr x9, x4, #2");
  line("whilelo p0.b, xzr, x5");
  line("mov x6, #{}", outerLanes);
  line("whilelo p1.s, xzr, x6");
  line("mov x7, #{}", outerLanes * 2);
  line("mov x8, #{}", outerLanes * 3);
  move("x10", s.panels * s.tokens * outerTokenBytes);
  line("sub x10, x10, x4, lsl #4");
  line("mov x11, #{}", s.tokens / (sixteens * outerLanes));
}

/// Operands of four columns to the registers from `first`.
void Streaming::load(int first, const char *offset) {
  for (int64_t i = 0; i < s.panels; ++i)
    line("ld1b {{z{}.b}}, p0/z, [{}, {}]", first + i, operands[i], offset);
  for (int64_t i = 0; i < sixteens; ++i)
    line("ld1b {{z{}.b}}, p0/z, [{}, {}]", first + 2 + i, operands[2 + i],
         offset);
}

void Streaming::multiply(int first) {
  for (int64_t t = 0; t < sixteens; ++t)
    for (int64_t p = 0; p < s.panels; ++p)
      line("smopa za{}.s, p0/m, p0/m, z{}.b, z{}.b", t * s.panels + p,
           first + 2 + t, first + p);
}

/// A tile's row has the sums of a token.
void Streaming::store() {
  const int64_t tiles = s.panels * sixteens;
  line("mov w12, #0");
  line("8:");
  for (int token = 0; token < 4; ++token)
    for (int64_t i = 0; i < tiles; ++i)
      line("st1w {{za{}h.s[w12, #{}]}}, p1, [x{}{}]", i, token, 22 + i,
           token ? fmt::format(", x{}, lsl #2", 5 + token) : "");
  for (int64_t i = 0; i < tiles; ++i)
    line("add x{0}, x{0}, #{1}", 22 + i, 4 * outerTokenBytes);
  line("add w12, w12, #4");
  line("cmp w12, w9");
  line("b.lo 8b");
  for (int64_t i = 0; i < tiles; ++i)
    line("add x{0}, x{0}, x10", 22 + i);
}

/// What the products of four columns take is loaded during those before, also
/// beyond the end of a group.
void Streaming::group() {
  line("6: zero {{za}}");
  add("x27", "x27", s.columns * outerLanes);
  line("7: add x5, x26, #{}", outerTokenBytes);
  load(4, "x5");
  multiply(0);
  line("add x26, x26, #{}", 2 * outerTokenBytes);
  load(0, "x26");
  multiply(4);
  line("cmp x26, x27");
  line("b.lo 7b");
  store();
  line("cmp x26, x3");
  line("b.lo 6b");
}

std::string Streaming::assembly() {
  begin();
  line("3: mov x13, #0");
  line("4: mov x14, #0");
  line("5: add x15, x1, x14");
  add("x16", "x15", s.panelStride);
  line("add x17, x0, x13");
  add("x20", "x17", s.xStride);
  line("add x22, x2, x13, lsl #4");
  line("add x22, x22, x14");
  // Tiles are [sixteen][panel].
  for (int64_t i = 1; i < s.panels * sixteens; ++i)
    add(fmt::format("x{}", 22 + i).c_str(), "x22",
        i % s.panels * s.tokens * outerTokenBytes +
            i / s.panels * outerLanes * outerTokenBytes);
  line("mov x26, #0");
  line("mov x27, #0");
  load(0, "x26");
  group();
  for (int loop : {5, 4}) {
    const int bytes = loop == 5 ? 14 : 13;
    line("add x{0}, x{0}, x4", bytes);
    line("cmp x{}, #{}", bytes, outerTokenBytes);
    line("b.lo {}b", loop);
  }
  add("x0", "x0", sixteens * s.xStride);
  add("x2", "x2", sixteens * outerLanes * outerTokenBytes);
  line("subs x11, x11, #1");
  line("b.ne 3b");
  line("smstop");
  return out;
}

} // namespace

void streamProducts(MicroWriter &w, const OuterShape &shape, Value *x,
                    Value *codes, Value *sums, Value *count) {
  IRBuilder<> &b = w.b;
  Type *pointer = b.getPtrTy(), *integer = b.getInt64Ty();
  std::string constraints = "={x0},={x2},{x1},{x3},0,1,~{memory},~{cc}";
  for (int i = 4; i <= 27; ++i)
    if (i != 18 && i != 19 && i != 21) // the platform's, the compiler's, unused
      constraints += fmt::format(",~{{x{}}}", i);
  for (int i = 0; i < 32; ++i)
    constraints += fmt::format(",~{{z{}}}", i);
  for (int i = 0; i < 16; ++i)
    constraints += fmt::format(",~{{p{}}}", i);
  auto *type = FunctionType::get(StructType::get(pointer, pointer),
                                 {pointer, integer, pointer, pointer}, false);
  Value *bytes = b.CreateMul(count, b.getInt64(shape.columns * outerLanes));
  b.CreateCall(InlineAsm::get(type, Streaming(shape).assembly(), constraints,
                              /*hasSideEffects=*/true),
               {codes, bytes, x, sums});
}

} // namespace lfmc

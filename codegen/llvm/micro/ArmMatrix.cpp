// SPDX-License-Identifier: Apache-2.0
//
// linear_q by smmla: 2 rows x 8 columns times 8 columns x 2 tokens. The panels
// are those of sdot; pairs of rows come out of two of its vectors by zip. A
// segment of a panel is unpacked once for all tokens, to signed codes on the
// stack; four tokens at a time then run through it with their f32 sums, [row
// pair][token pair] of 2 x 2, in registers. That loop is assembly: sums, codes
// and activations take all 32 registers, loads of three or four registers
// advance their address, and the zeros in which sums of a block start come with
// the load of factors, none of which the code generator finds
// (docs/kernels.md).
#include "codegen/llvm/micro/ArmTile.h"

#include "llvm/IR/InlineAsm.h"

#include <fmt/format.h>

using namespace llvm;

namespace lfmc {

void ArmWeights::clear(Value *memory, int64_t count) {
  w.loop(count, [&](Value *i) {
    w.store(Constant::getNullValue(floats()), w.at(memory, i, 16));
  });
}

void ArmWeights::finishQuad(Value *sums, Value *quad, Value *panel) {
  Values two;
  for (int64_t i = 0; i < layout.rows; ++i)
    two.push_back(w.load(floats(), w.at(sums, i * 16)));
  for (int64_t t = 0; t < 4; ++t) {
    Values parts;
    for (int64_t v = 0; v < vectors; ++v) {
      int odd = int(t % 2);
      parts.push_back(shuffle(two[v * 4 + t / 2], two[v * 4 + 2 + t / 2],
                              {odd, odd + 2, odd + 4, odd + 6}));
    }
    auto token = [&](Value *from, int64_t stride) {
      return w.at(w.at(from, quad, stride * 16), t * stride * 4);
    };
    q.finish(w.join(parts), panel,
             q.res ? token(q.res, q.shape.resStride) : nullptr,
             token(q.y, q.shape.yStride));
  }
}

void ArmWeights::overSegments(
    int64_t total, int64_t most,
    function_ref<void(Value *, Value *, Value *)> unpack,
    function_ref<void(Value *, Value *, Value *, Value *)> quad) {
  const int64_t quads = q.shape.tokens / 4, quadBytes = layout.rows * 16;
  Value *sums = w.stack(quads * quadBytes);
  w.loop(layout.panels, [&](Value *panel) {
    Value *first = w.at(q.weights, panel, layout.panelBytes());
    clear(sums, quads * layout.rows);
    Value *all = b.getInt64(total);
    w.loop(b.getInt64(0), all, most, {}, [&](Value *start, Values none) {
      Value *count = b.CreateBinaryIntrinsic(
          Intrinsic::smin, b.CreateSub(all, start), b.getInt64(most));
      unpack(first, start, count);
      w.loop(quads, [&](Value *i) {
        quad(w.at(q.xq, i, int64_t(q.shape.xStride) * 4), start, count,
             w.at(sums, i, quadBytes));
      });
      return none;
    });
    w.loop(quads,
           [&](Value *i) { finishQuad(w.at(sums, i, quadBytes), i, panel); });
  });
}

namespace {

/// Activation blocks of a segment: with 16 rows 16 KiB of codes.
constexpr int64_t segmentBlocks = 32;

class ArmMatrix : ArmWeights {
public:
  explicit ArmMatrix(LinearQ &kernel)
      : ArmWeights(kernel), pairs(layout.rows / 2), codeBytes(layout.rows * 32),
        factorBytes(pairs * (layout.hasMinimum() ? 32 : 48)) {}
  void build();

private:
  void unpack(Value *panel, Value *start, Value *count);
  void steps(Value *low, Value *top, int sixteen, int64_t vector, Value *to);
  void spread(Value *weights, Value *to);
  std::string assembly() const;
  void quad(Value *x, Value *start, Value *count, Value *sums);

  bool isQ4() const { return layout.offset() == 8; }

  const int64_t pairs; ///< of rows
  /// Of an unpacked activation block: signed codes [row pair][4 steps][2
  /// rows][8], those of q4 times 16, in the columns' order of quads; and
  /// factors [row pair], see spread().
  const int64_t codeBytes, factorBytes;
  Value *codeMemory = nullptr, *factorMemory = nullptr;
};

/// Steps 2 sixteen (even groups of four columns) and 2 sixteen + 1 (odd ones)
/// of rows [4 vector + 2 half, + 2).
void ArmMatrix::steps(Value *low, Value *top, int sixteen, int64_t vector,
                      Value *to) {
  const SmallVector<int> masks[2] = {{0, 4, 1, 5}, {2, 6, 3, 7}};
  auto zip = [&](Value *x, Value *y, int half) {
    return b.CreateBitCast(shuffle(b.CreateBitCast(x, words()),
                                   b.CreateBitCast(y, words()), masks[half]),
                           bytes());
  };
  auto put = [&](int half, Value *even, Value *odd) {
    Value *at = w.at(to, (vector * 2 + half) * 64 + sixteen * 32);
    w.store(even, at);
    w.store(odd, w.at(at, 16));
  };
  auto signedCode = [&](Value *code) {
    return layout.offset() ? b.CreateSub(code, w.all(bytes(), layout.offset()))
                           : code;
  };
  if (layout.isQ8() || layout.isQ6()) {
    Values groups;
    for (int first = 0; first < 4; first += together())
      append_range(groups, codes(low, top, sixteen * 4 + first, vector));
    for (int half = 0; half < 2; ++half)
      put(half, signedCode(zip(groups[0], groups[2], half)),
          signedCode(zip(groups[1], groups[3], half)));
    return;
  }
  // Codes of four bits are zipped while two are in a byte.
  Value *packed[2];
  for (int i = 0; i < 2; ++i) {
    packed[i] = w.load(
        bytes(), w.at(low, (sixteen * 2 + i) * layout.rows * 4 + vector * 16));
    if (isQ4()) // two's complement of code - 8, in both halves of a byte
      packed[i] = b.CreateXor(packed[i], w.all(bytes(), -120));
  }
  for (int half = 0; half < 2; ++half) {
    Value *both = zip(packed[0], packed[1], half);
    if (isQ4())
      put(half, b.CreateShl(both, w.all(bytes(), 4)),
          b.CreateAnd(both, w.all(bytes(), -16)));
    else
      put(half, b.CreateAnd(both, w.all(bytes(), 15)),
          b.CreateLShr(both, w.all(bytes(), 4)));
  }
}

/// Where the scale of a row pair is within its 48 bytes; the rest are zeros.
static int64_t scalePlace(int64_t pair) { return pair % 2 ? 0 : 32; }

/// Scales of rows 2i, 2i, 2i + 1, 2i + 1; with minima [scale, minimum].
void ArmMatrix::spread(Value *weights, Value *to) {
  const int64_t kinds = layout.hasMinimum() ? 2 : 1;
  for (int64_t kind = 0; kind < kinds; ++kind)
    for (int64_t v = 0; v < vectors; ++v) {
      Value *four = scales(w.at(weights, kind * layout.rows * 2), v);
      for (int64_t half = 0; half < 2; ++half) {
        int first = int(half) * 2;
        const int64_t pair = v * 2 + half;
        w.store(shuffle(four, four, {first, first, first + 1, first + 1}),
                w.at(to, kinds == 2 ? (pair * 2 + kind) * 16
                                    : pair * 48 + scalePlace(pair)));
      }
    }
}

void ArmMatrix::unpack(Value *panel, Value *start, Value *count) {
  const int64_t perBlock = q.perBlock();
  w.loop(b.getInt64(0), count, 1, {}, [&](Value *i, Values none) {
    Value *index = b.CreateAdd(start, i);
    Value *weights = w.at(panel, b.CreateUDiv(index, b.getInt64(perBlock)),
                          layout.blockBytes());
    Value *part = b.CreateURem(index, b.getInt64(perBlock));
    Value *to = w.at(codeMemory, i, codeBytes);
    for (int64_t v = 0; v < vectors; ++v)
      for (int sixteen = 0; sixteen < 2; ++sixteen)
        steps(low(weights, part), top(weights, part), sixteen, v, to);
    spread(weights, w.at(factorMemory, i, factorBytes));
    return none;
  });
}

/// $0: the quad, $1: codes, $2: factors, $3: activation blocks, at least one,
/// $4: sums, $5: 32. v16 to v31 are sums, v0 to v7 activations, v8 and v9 their
/// scales. Of v10 to v15 a row pair has four for codes and two, zero in the
/// beginning, for integer sums. When codes are multiplied, its factors and the
/// zeros of the next pair take their place: so pairs alternate.
std::string ArmMatrix::assembly() const {
  std::string text;
  auto line = [&](const std::string &instruction) {
    text += instruction + "\n";
  };
  auto sums = [&](const char *name) {
    for (int64_t i = 0; i < layout.rows; i += 2)
      line(fmt::format("{} q{}, q{}, [$4, #{}]", name, 16 + i, 17 + i, i * 16));
  };
  auto both = [&](const char *name, int first, const char *operands) {
    for (int i = first; i < first + 2; ++i)
      line(fmt::format("{0} v{1}.4s, v{1}.4s{2}", name, i, operands));
  };
  auto zero = [&](int first) {
    for (int i = first; i < first + 2; ++i)
      line(fmt::format("movi v{}.2d, #0", i));
  };
  auto scaled = [&](int first) {
    line(fmt::format("fmul v{0}.4s, v{0}.4s, v8.4s", first));
    line(fmt::format("fmul v{0}.4s, v{0}.4s, v9.4s", first + 1));
  };
  sums("ldp");
  zero(14);
  line("1:");
  // Two blocks, where there are no odd segments.
  const int unrolled = q.blocks() % 2 ? 1 : 2;
  for (int block = 0; block < unrolled; ++block) {
    line("ld1 {v0.16b-v3.16b}, [$0], #64");
    line("ld1 {v4.16b-v7.16b}, [$0], #64");
    line(fmt::format("ld2r {{v8.2d, v9.2d}}, [$0], {}",
                     layout.hasMinimum() ? "#16" : "$5"));
    for (int64_t pair = 0; pair < pairs; ++pair) {
      const int codes = pair % 2 ? 12 : 10, products = pair % 2 ? 10 : 14;
      const int64_t sum = 16 + pair * 2;
      line(fmt::format("ld1 {{v{}.16b-v{}.16b}}, [$1], #64", codes, codes + 3));
      for (int step = 0; step < 4; ++step)
        for (int tokens = 0; tokens < 2; ++tokens)
          line(fmt::format("smmla v{}.4s, v{}.16b, v{}.16b", products + tokens,
                           codes + step, tokens * 4 + step));
      if (!layout.hasMinimum()) {
        const int loaded = pair % 2 ? 13 : 10;
        line(fmt::format("ld1 {{v{}.4s-v{}.4s}}, [$2], #48", loaded,
                         loaded + 2));
        both("scvtf", products, isQ4() ? ", #4" : "");
        scaled(products);
        for (int tokens = 0; tokens < 2; ++tokens)
          line(fmt::format("fmla v{}.4s, v{}.4s, v{}.4s", sum + tokens,
                           products + tokens, loaded + scalePlace(pair) / 16));
        continue;
      }
      const int totals = pair % 2 ? 14 : 10;
      auto add = [&](int terms, int factor) {
        both("fmul", terms, fmt::format(", v{}.4s", factor).c_str());
        for (int tokens = 0; tokens < 2; ++tokens)
          line(fmt::format("fadd v{0}.4s, v{0}.4s, v{1}.4s", sum + tokens,
                           terms + tokens));
      };
      line("ldp q12, q13, [$2], #32");
      both("scvtf", products, "");
      scaled(products);
      add(products, 12);
      // Sums of the tokens times their scales.
      line(fmt::format("ld2r {{v{}.2d, v{}.2d}}, [$0]{}", totals, totals + 1,
                       pair + 1 < pairs ? "" : ", #16"));
      add(totals, 13);
      zero(totals);
    }
  }
  line(fmt::format("subs $3, $3, #{}", unrolled));
  line("b.ne 1b");
  sums("stp");
  return text;
}

/// A segment of four tokens; their sums wait at `sums`.
void ArmMatrix::quad(Value *x, Value *start, Value *count, Value *sums) {
  Type *pointer = b.getPtrTy(), *integer = b.getInt64Ty();
  std::string constraints = "=&r,=&r,=&r,=&r,=&r,r,0,1,2,3,4,~{memory},~{cc}";
  for (int i = 0; i < 32; ++i)
    constraints += fmt::format(",~{{v{}}}", i);
  Type *results = StructType::get(pointer, pointer, pointer, integer, pointer);
  auto *type = FunctionType::get(
      results, {integer, pointer, pointer, pointer, integer, pointer}, false);
  b.CreateCall(InlineAsm::get(type, assembly(), constraints,
                              /*hasSideEffects=*/true),
               {b.getInt64(32), w.at(x, start, quadBlockBytes), codeMemory,
                factorMemory, count, sums});
}

void ArmMatrix::build() {
  prepare();
  codeMemory = w.stack(segmentBlocks * codeBytes);
  factorMemory = w.stack(segmentBlocks * factorBytes);
  if (!layout.hasMinimum()) // between the scales; spread() writes only those
    clear(factorMemory, segmentBlocks * factorBytes / 16);
  overSegments(
      q.blocks(), segmentBlocks,
      [&](Value *panel, Value *start, Value *count) {
        unpack(panel, start, count);
      },
      [&](Value *x, Value *start, Value *count, Value *sums) {
        quad(x, start, count, sums);
      });
}

} // namespace

void buildArmMatrix(LinearQ &kernel) { ArmMatrix(kernel).build(); }

} // namespace lfmc

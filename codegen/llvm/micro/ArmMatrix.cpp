// SPDX-License-Identifier: Apache-2.0
//
// linear_q by smmla: 2 rows x 8 columns times 8 columns x 2 tokens. The panels
// are those of sdot; pairs of rows come out of two of its vectors by zip. A
// segment of a panel is unpacked once for all tokens, to signed codes on the
// stack; four tokens at a time then run through it with their f32 sums, [row
// pair][token pair] of 2 x 2, in registers. That loop is assembly: sums, codes
// and activations take all 32 registers, and loads of four advance their
// address, which the code generator does not find (docs/kernels.md).
#include "codegen/llvm/micro/ArmTile.h"

#include "llvm/IR/InlineAsm.h"

#include <fmt/format.h>

using namespace llvm;

namespace lfmc {
namespace {

/// Activation blocks of a segment: with 16 rows 16 KiB of codes.
constexpr int64_t segmentBlocks = 32;

class ArmMatrix : ArmWeights {
public:
  explicit ArmMatrix(LinearQ &kernel)
      : ArmWeights(kernel), pairs(layout.rows / 2), codeBytes(layout.rows * 32),
        factorBytes(pairs * (layout.hasMinimum() ? 32 : 16)) {}
  void build();

private:
  void unpack(Value *panel, Value *start, Value *count);
  void unpackBlock(Value *weights, Value *part, Value *to);
  void spread(Value *weights, Value *to);
  std::string assembly() const;
  void quad(Value *x, Value *start, Value *count, Value *sums);
  void finish(Value *sums, Value *quad, Value *panel);

  const int64_t pairs; ///< of rows
  /// Of an unpacked activation block: signed codes [row pair][group of 8][2
  /// rows][8], and factors [row pair][scale, minimum][2 rows][twice].
  const int64_t codeBytes, factorBytes;
  Value *codeMemory = nullptr, *factorMemory = nullptr;
};

void ArmMatrix::unpackBlock(Value *weights, Value *part, Value *to) {
  Value *lowest = low(weights, part), *highest = top(weights, part);
  for (int64_t v = 0; v < vectors; ++v)
    for (int group = 0; group < 4; ++group) {
      auto [even, odd] = codes(lowest, highest, group, v);
      if (layout.offset()) {
        even = b.CreateSub(even, w.all(bytes(), layout.offset()));
        odd = b.CreateSub(odd, w.all(bytes(), layout.offset()));
      }
      even = b.CreateBitCast(even, words());
      odd = b.CreateBitCast(odd, words());
      const int masks[2][4] = {{0, 4, 1, 5}, {2, 6, 3, 7}};
      for (int64_t half = 0; half < 2; ++half)
        w.store(shuffle(even, odd, masks[half]),
                w.at(to, (v * 2 + half) * 64 + group * 16));
    }
}

/// Factors of rows 2i, 2i, 2i + 1, 2i + 1.
void ArmMatrix::spread(Value *weights, Value *to) {
  const int64_t kinds = layout.hasMinimum() ? 2 : 1;
  for (int64_t kind = 0; kind < kinds; ++kind)
    for (int64_t v = 0; v < vectors; ++v) {
      Value *four = scales(w.at(weights, kind * layout.rows * 2), v);
      for (int64_t half = 0; half < 2; ++half) {
        int first = int(half) * 2;
        w.store(shuffle(four, four, {first, first, first + 1, first + 1}),
                w.at(to, ((v * 2 + half) * kinds + kind) * 16));
      }
    }
}

void ArmMatrix::unpack(Value *panel, Value *start, Value *count) {
  const int64_t perBlock = q.perBlock();
  w.loop(b.getInt64(0), count, 1, {}, [&](Value *i, Values none) {
    Value *index = b.CreateAdd(start, i);
    Value *weights = w.at(panel, b.CreateUDiv(index, b.getInt64(perBlock)),
                          layout.blockBytes());
    unpackBlock(weights, b.CreateURem(index, b.getInt64(perBlock)),
                w.at(codeMemory, i, codeBytes));
    spread(weights, w.at(factorMemory, i, factorBytes));
    return none;
  });
}

/// $0: the quad, $1: codes, $2: factors, $3: activation blocks, at least one,
/// $4: sums. v16 to v31 are sums, v0 to v7 activations, v8 and v9 their scales,
/// v10 to v13 codes of a row pair and then its factors, v14 and v15 products.
std::string ArmMatrix::assembly() const {
  std::string text;
  auto line = [&](const std::string &instruction) {
    text += instruction + "\n";
  };
  auto sums = [&](const char *name) {
    for (int64_t i = 0; i < layout.rows; i += 2)
      line(fmt::format("{} q{}, q{}, [$4, #{}]", name, 16 + i, 17 + i, i * 16));
  };
  sums("ldp");
  line("1:");
  line("ld1 {v0.16b-v3.16b}, [$0], #64");
  line("ld1 {v4.16b-v7.16b}, [$0], #64");
  line("ldr q8, [$0], #32");
  line("dup v9.2d, v8.d[1]");
  line("dup v8.2d, v8.d[0]");
  for (int64_t pair = 0; pair < pairs; ++pair) {
    line("ld1 {v10.16b-v13.16b}, [$1], #64");
    line("movi v14.2d, #0");
    line("movi v15.2d, #0");
    for (int group = 0; group < 4; ++group) {
      line(fmt::format("smmla v14.4s, v{}.16b, v{}.16b", 10 + group, group));
      line(
          fmt::format("smmla v15.4s, v{}.16b, v{}.16b", 10 + group, 4 + group));
    }
    line(layout.hasMinimum() ? "ldp q10, q11, [$2], #32"
                             : "ldr q10, [$2], #16");
    line("scvtf v14.4s, v14.4s");
    line("scvtf v15.4s, v15.4s");
    line("fmul v14.4s, v14.4s, v8.4s");
    line("fmul v15.4s, v15.4s, v9.4s");
    const int64_t first = 16 + pair * 2, second = first + 1;
    if (!layout.hasMinimum()) {
      line(fmt::format("fmla v{}.4s, v14.4s, v10.4s", first));
      line(fmt::format("fmla v{}.4s, v15.4s, v10.4s", second));
      continue;
    }
    auto add = [&](int64_t sum, int term, int factor) {
      line(fmt::format("fmul v{0}.4s, v{0}.4s, v{1}.4s", term, factor));
      line(fmt::format("fadd v{0}.4s, v{0}.4s, v{1}.4s", sum, term));
    };
    add(first, 14, 10);
    add(second, 15, 10);
    line("ldr q12, [$0, #-16]"); // sums of the tokens times their scales
    line("dup v13.2d, v12.d[1]");
    line("dup v12.2d, v12.d[0]");
    add(first, 12, 11);
    add(second, 13, 11);
  }
  line("subs $3, $3, #1");
  line("b.ne 1b");
  sums("stp");
  return text;
}

/// A segment of four tokens; their sums wait at `sums`.
void ArmMatrix::quad(Value *x, Value *start, Value *count, Value *sums) {
  Type *pointer = b.getPtrTy(), *integer = b.getInt64Ty();
  std::string constraints = "=&r,=&r,=&r,=&r,=&r,0,1,2,3,4,~{memory},~{cc}";
  for (int i = 0; i < 32; ++i)
    constraints += fmt::format(",~{{v{}}}", i);
  Type *results = StructType::get(pointer, pointer, pointer, integer, pointer);
  auto *type = FunctionType::get(
      results, {pointer, pointer, pointer, integer, pointer}, false);
  b.CreateCall(
      InlineAsm::get(type, assembly(), constraints,
                     /*hasSideEffects=*/true),
      {w.at(x, start, quadBlockBytes), codeMemory, factorMemory, count, sums});
}

/// Writes y of four tokens.
void ArmMatrix::finish(Value *sums, Value *quad, Value *panel) {
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

void ArmMatrix::build() {
  const int64_t quads = q.shape.tokens / 4, quadBytes = layout.rows * 16;
  codeMemory = w.stack(segmentBlocks * codeBytes);
  factorMemory = w.stack(segmentBlocks * factorBytes);
  Value *sums = w.stack(quads * quadBytes);
  w.loop(layout.panels, [&](Value *panel) {
    Value *first = w.at(q.weights, panel, layout.panelBytes());
    w.loop(quads, [&](Value *i) {
      for (int64_t row = 0; row < layout.rows; ++row)
        w.store(Constant::getNullValue(floats()),
                w.at(w.at(sums, i, quadBytes), row * 16));
    });
    Value *blocks = b.getInt64(q.blocks());
    w.loop(b.getInt64(0), blocks, segmentBlocks, {},
           [&](Value *start, Values none) {
             Value *count = b.CreateBinaryIntrinsic(Intrinsic::smin,
                                                    b.CreateSub(blocks, start),
                                                    b.getInt64(segmentBlocks));
             unpack(first, start, count);
             w.loop(quads, [&](Value *i) {
               quad(w.at(q.xq, i, int64_t(q.shape.xStride) * 4), start, count,
                    w.at(sums, i, quadBytes));
             });
             return none;
           });
    w.loop(quads,
           [&](Value *i) { finish(w.at(sums, i, quadBytes), i, panel); });
  });
}

} // namespace

void buildArmMatrix(LinearQ &kernel) { ArmMatrix(kernel).build(); }

} // namespace lfmc

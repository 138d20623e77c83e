// SPDX-License-Identifier: Apache-2.0
//
// linear_q of quads with "group", q4: one scale for `group` columns of weights
// as of activations, so that nothing but products happens between two groups.
// Weights are rewritten as WidePanel.cpp does it, to the same codes, a segment
// at a time for all tokens of the call (ArmMatrix.cpp). The integer sums of 16
// rows and four tokens stay in 16 registers over a group, f32 sums wait in
// memory.
#include "codegen/llvm/micro/ArmTile.h"

#include "llvm/IR/InlineAsm.h"

#include <fmt/format.h>

using namespace llvm;

namespace lfmc {

WideUnit ArmWeights::unitOf(Value *weights, int64_t columns, int64_t vector) {
  Values all;
  for (int64_t i = 0; i < columns / layout.block; ++i)
    all.push_back(scales(w.at(weights, i * layout.blockBytes()), vector));
  return wideUnit(w, all);
}

Value *ArmWeights::rescaled(Value *codes, Value *factors) {
  Type *wide = w.vector(b.getInt16Ty(), 16);
  Value *product = b.CreateMul(b.CreateSExt(codes, wide), factors);
  product =
      b.CreateAShr(b.CreateAdd(product, w.all(wide, 128)), w.all(wide, 8));
  return b.CreateTrunc(product, bytes());
}

namespace {

/// Columns of a segment: with 16 rows 16 KiB of codes.
constexpr int64_t segmentColumns = 1024;

class ArmWide : ArmWeights {
public:
  explicit ArmWide(LinearQ &kernel)
      : ArmWeights(kernel), pairs(layout.rows / 2), columns(kernel.shape.group),
        codeBytes(layout.rows * columns), factorBytes(pairs * 16),
        segment(std::max<int64_t>(1, segmentColumns / columns)),
        streamBytes(segment * codeBytes / 2) {}
  void build();

private:
  void rewrite(Value *weights, Value *codes, Value *factors);
  void block(Value *weights, ArrayRef<Value *> inverse, Value *codes);
  std::string assembly() const;
  void quad(Value *x, Value *start, Value *count, Value *sums);

  const int64_t pairs, columns; ///< of rows; of a group
  /// Of a rewritten group: signed codes in the columns' order of quads, of
  /// steps 0 and 1 in one stream, of 2 and 3 in another, [block of 32][row
  /// pair][2 steps][2 rows][8] each; and scales [row pair]: of rows 2i, 2i,
  /// 2i + 1, 2i + 1.
  const int64_t codeBytes, factorBytes, segment, streamBytes;
  Value *codeMemory = nullptr, *factorMemory = nullptr;
};

/// A block of weights to its activation blocks' codes.
void ArmWide::block(Value *weights, ArrayRef<Value *> inverse, Value *codes) {
  const SmallVector<int> masks[2] = {{0, 4, 1, 5}, {2, 6, 3, 7}};
  for (int64_t v = 0; v < vectors; ++v) {
    Value *factors =
        b.CreateTrunc(wideFactor(w, scales(weights, v), inverse[v]),
                      w.vector(b.getInt16Ty(), 4));
    for (int64_t sixteen = 0; sixteen < layout.block / 16; ++sixteen) {
      Value *packed[2];
      for (int64_t i = 0; i < 2; ++i) {
        packed[i] = w.load(
            bytes(),
            w.at(weights, layout.codesStart() +
                              (sixteen * 2 + i) * layout.rows * 4 + v * 16));
        // Two's complement of code - 8, in both halves of a byte.
        packed[i] = b.CreateBitCast(
            b.CreateXor(packed[i], w.all(bytes(), -120)), words());
      }
      for (int half = 0; half < 2; ++half) {
        Value *both = b.CreateBitCast(
            shuffle(packed[0], packed[1], masks[half]), bytes());
        Value *four = w.all(bytes(), 4);
        SmallVector<int> rows(8, half * 2);
        rows.append(8, half * 2 + 1);
        Value *of = b.CreateShuffleVector(factors, rows);
        Value *to =
            w.at(codes, sixteen / 2 * layout.rows * 16 +
                            sixteen % 2 * streamBytes + (v * 2 + half) * 32);
        w.store(rescaled(b.CreateAShr(b.CreateShl(both, four), four), of), to);
        w.store(rescaled(b.CreateAShr(both, four), of), w.at(to, 16));
      }
    }
  }
}

/// A group of weights.
void ArmWide::rewrite(Value *weights, Value *codes, Value *factors) {
  Values inverse;
  for (int64_t v = 0; v < vectors; ++v) {
    const WideUnit of = unitOf(weights, columns, v);
    for (int half = 0; half < 2; ++half) {
      const int first = half * 2;
      w.store(shuffle(of.unit, of.unit, {first, first, first + 1, first + 1}),
              w.at(factors, (v * 2 + half) * 16));
    }
    inverse.push_back(of.inverse);
  }
  w.loop(columns / layout.block, [&](Value *index) {
    block(w.at(weights, index, layout.blockBytes()), inverse,
          w.at(codes, index, int64_t(layout.rows) * layout.block / 2));
  });
}

/// $0: the quad, $1, $6: codes (the address of one stream would be waited for),
/// $2: factors, $3: groups, at least one, $4: sums,
/// $5: blocks left in a group. v16 to v31 are integer sums [row pair][token
/// pair], v0 to v7 activations, v8 to v15 codes of four row pairs; after a
/// group v8 and v9 are the tokens' scales, v10 and v11 factors, v12 to v15
/// sums.
std::string ArmWide::assembly() const {
  std::string text;
  auto line = [&](const std::string &instruction) {
    text += instruction + "\n";
  };
  line("1:");
  for (int64_t i = 0; i < layout.rows; ++i)
    line(fmt::format("movi v{}.2d, #0", 16 + i));
  line(fmt::format("mov $5, #{}", columns / 32));
  line("2:");
  line("ld1 {v0.16b-v3.16b}, [$0], #64");
  line("ld1 {v4.16b-v7.16b}, [$0], #64");
  line("subs $5, $5, #1");
  line("add $0, $0, #32");
  // Two of four steps: eight sums are waited for in turns.
  for (int64_t half = 0; half < 2; ++half)
    for (int64_t first = 0; first < pairs; first += 4) {
      const int64_t together = std::min<int64_t>(4, pairs - first);
      for (int64_t i = 0; i < together; i += 2)
        line(fmt::format("ld1 {{v{}.16b-v{}.16b}}, [${}], #64", 8 + i * 2,
                         11 + i * 2, half ? 6 : 1));
      for (int64_t step = 0; step < 2; ++step)
        for (int64_t i = 0; i < together; ++i)
          for (int64_t tokens = 0; tokens < 2; ++tokens)
            line(fmt::format("smmla v{}.4s, v{}.16b, v{}.16b",
                             16 + (first + i) * 2 + tokens, 8 + i * 2 + step,
                             tokens * 4 + half * 2 + step));
    }
  line("b.ne 2b");
  // The scales of the last block are those of the group.
  line("sub $5, $0, #32");
  line("ld2r {v8.2d, v9.2d}, [$5]");
  for (int64_t pair = 0; pair < pairs; ++pair) {
    const int64_t sum = 12 + pair % 2 * 2, product = 16 + pair * 2;
    line(fmt::format("ldr q{}, [$2], #16", 10 + pair % 2));
    line(fmt::format("ldp q{}, q{}, [$4, #{}]", sum, sum + 1, pair * 32));
    for (int64_t t = 0; t < 2; ++t)
      line(fmt::format("scvtf v{0}.4s, v{0}.4s", product + t));
    for (int64_t t = 0; t < 2; ++t)
      line(fmt::format("fmul v{0}.4s, v{0}.4s, v{1}.4s", product + t, 8 + t));
    for (int64_t t = 0; t < 2; ++t)
      line(fmt::format("fmla v{}.4s, v{}.4s, v{}.4s", sum + t, product + t,
                       10 + pair % 2));
    line(fmt::format("stp q{}, q{}, [$4, #{}]", sum, sum + 1, pair * 32));
  }
  line("subs $3, $3, #1");
  line("b.ne 1b");
  return text;
}

/// `count` groups from `start` of four tokens; their sums wait at `sums`.
void ArmWide::quad(Value *x, Value *start, Value *count, Value *sums) {
  Type *pointer = b.getPtrTy(), *integer = b.getInt64Ty();
  std::string constraints =
      "=&r,=&r,=&r,=&r,=&r,=&r,=&r,0,1,2,3,4,6,~{memory},~{cc}";
  for (int i = 0; i < 32; ++i)
    constraints += fmt::format(",~{{v{}}}", i);
  Type *results = StructType::get(pointer, pointer, pointer, integer, pointer,
                                  integer, pointer);
  auto *type = FunctionType::get(
      results, {pointer, pointer, pointer, integer, pointer, pointer}, false);
  b.CreateCall(InlineAsm::get(type, assembly(), constraints,
                              /*hasSideEffects=*/true),
               {w.at(x, start, columns / 32 * quadBlockBytes), codeMemory,
                factorMemory, count, sums, w.at(codeMemory, streamBytes)});
}

void ArmWide::build() {
  codeMemory = w.stack(segment * codeBytes);
  factorMemory = w.stack(segment * factorBytes);
  const int64_t groupBytes = columns / layout.block * layout.blockBytes();
  overSegments(
      layout.k / columns, segment,
      [&](Value *panel, Value *start, Value *count) {
        w.loop(b.getInt64(0), count, 1, {}, [&](Value *i, Values none) {
          rewrite(w.at(panel, b.CreateAdd(start, i), groupBytes),
                  w.at(codeMemory, i, codeBytes / 2),
                  w.at(factorMemory, i, factorBytes));
          return none;
        });
      },
      [&](Value *x, Value *start, Value *count, Value *sums) {
        quad(x, start, count, sums);
      });
}

} // namespace

void buildArmWide(LinearQ &kernel) { ArmWide(kernel).build(); }

} // namespace lfmc

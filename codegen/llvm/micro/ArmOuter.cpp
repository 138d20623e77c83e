// SPDX-License-Identifier: Apache-2.0
//
// linear_q of sixteens (Sixteens.cpp) by SME's outer products: what ArmWide.cpp
// computes, to the same bits. Two panels are rewritten, a segment of columns at
// a time. In streaming mode (ArmStreaming.cpp) their integer sums with all
// tokens go to memory, group by group; out of it they are scaled and added in
// vectors of NEON. What cores share, the unit of outer products, is so asked
// for products and nothing else.
#include "codegen/llvm/micro/ArmOuter.h"

using namespace llvm;

namespace lfmc {
namespace {

/// Columns of a segment: with two panels 32 KiB of codes, and 16 KiB of sums
/// for 32 tokens.
constexpr int64_t segmentColumns = 1024;

class ArmOuter : ArmWeights {
public:
  explicit ArmOuter(LinearQ &kernel)
      : ArmWeights(kernel), columns(kernel.shape.group),
        tokens(kernel.shape.tokens), groups(layout.k / columns),
        segment(
            std::min(groups, std::max<int64_t>(1, segmentColumns / columns))),
        codeBytes(outerLanes * columns), together(std::min(layout.panels, 2)) {}
  void build();

private:
  void rewrite(Value *weights, Value *codes, Value *units);
  void block(Value *weights, ArrayRef<Value *> inverse, Value *codes);
  void pass(int64_t panels, Value *panel);
  Values summed(int64_t panels, int64_t panel, Value *quad, Value *start,
                Value *count, Values sums);
  void finish(Value *panel, Value *quad, ArrayRef<Value *> sums);
  Value *sumsOf(int64_t panel, Value *quad) {
    return w.at(w.at(sumMemory, panel * tokens * outerTokenBytes), quad,
                4 * outerTokenBytes);
  }

  const int64_t columns, tokens, groups, segment;
  /// Of a rewritten group: signed codes [4 columns each][16 rows][4]; a unit
  /// for each row.
  const int64_t codeBytes, together;
  Value *codeMemory = nullptr;    ///< [panel][segment] groups
  Value *unitMemory = nullptr;    ///< [panel][segment][16 rows]
  Value *productMemory = nullptr; ///< [segment][panel][token][16 rows]
  Value *sumMemory = nullptr;     ///< [panel][token][16 rows]
};

/// A block of weights to its activation blocks' codes. A byte holds codes of
/// columns that are four apart.
void ArmOuter::block(Value *weights, ArrayRef<Value *> inverse, Value *codes) {
  for (int64_t v = 0; v < vectors; ++v) {
    Value *factors =
        b.CreateTrunc(wideFactor(w, scales(weights, v), inverse[v]),
                      w.vector(b.getInt16Ty(), 4));
    SmallVector<int> rows;
    for (int i = 0; i < 16; ++i)
      rows.push_back(i / 4);
    factors = b.CreateShuffleVector(factors, rows);
    for (int64_t eight = 0; eight < layout.block / 8; ++eight) {
      Value *packed =
          w.load(bytes(), w.at(weights, layout.codesStart() +
                                            eight * layout.rows * 4 + v * 16));
      // Two's complement of code - 8, in both halves of a byte.
      packed = b.CreateXor(packed, w.all(bytes(), -120));
      Value *four = w.all(bytes(), 4);
      Value *to = w.at(codes, eight * layout.rows * 8 + v * 16);
      w.store(rescaled(b.CreateAShr(b.CreateShl(packed, four), four), factors),
              to);
      w.store(rescaled(b.CreateAShr(packed, four), factors),
              w.at(to, layout.rows * 4));
    }
  }
}

/// A group of weights.
void ArmOuter::rewrite(Value *weights, Value *codes, Value *units) {
  Values inverse;
  for (int64_t v = 0; v < vectors; ++v) {
    const WideUnit of = unitOf(weights, columns, v);
    w.store(of.unit, w.at(units, v * 16));
    inverse.push_back(of.inverse);
  }
  w.loop(columns / layout.block, [&](Value *index) {
    block(w.at(weights, index, layout.blockBytes()), inverse,
          w.at(codes, index, outerLanes * layout.block));
  });
}

/// f32 sums of four tokens, [token][vector of rows], with `count` groups from
/// `start` added.
Values ArmOuter::summed(int64_t panels, int64_t panel, Value *quad,
                        Value *start, Value *count, Values sums) {
  Value *sixteen = w.at(q.xq, b.CreateUDiv(quad, b.getInt64(4)),
                        int64_t(q.shape.xStride) * outerLanes);
  Value *scalesOfX = w.at(w.at(sixteen, layout.k * outerLanes),
                          b.CreateURem(quad, b.getInt64(4)), 16);
  Value *products = w.at(w.at(productMemory, panel * tokens * outerTokenBytes),
                         quad, 4 * outerTokenBytes);
  Value *units = w.at(unitMemory, panel * segment * outerTokenBytes);
  return w.loop(
      b.getInt64(0), count, 1, sums, [&](Value *group, Values carried) {
        Value *four =
            w.load(floats(), w.at(scalesOfX, b.CreateAdd(start, group), 64));
        Value *of = w.at(products, group, panels * tokens * outerTokenBytes);
        Value *unitsOf = w.at(units, group, outerTokenBytes);
        for (int64_t v = 0; v < vectors; ++v) {
          Value *unit = w.load(floats(), w.at(unitsOf, v * 16));
          for (int64_t t = 0; t < 4; ++t) {
            Value *product = b.CreateSIToFP(
                w.load(words(), w.at(of, t * outerTokenBytes + v * 16)),
                floats());
            Value *&sum = carried[t * vectors + v];
            sum = w.fma(b.CreateFMul(product, splat(four, int(t))), unit, sum);
          }
        }
        return carried;
      });
}

/// Writes y of four tokens.
void ArmOuter::finish(Value *panel, Value *quad, ArrayRef<Value *> sums) {
  for (int64_t t = 0; t < 4; ++t) {
    auto token = [&](Value *from, int64_t stride) {
      return w.at(w.at(from, quad, stride * 16), t * stride * 4);
    };
    q.finish(w.join(sums.slice(t * vectors, vectors)), panel,
             q.res ? token(q.res, q.shape.resStride) : nullptr,
             token(q.y, q.shape.yStride));
  }
}

/// All columns of `panels` panels from `panel`.
void ArmOuter::pass(int64_t panels, Value *panel) {
  Value *first = w.at(q.weights, panel, layout.panelBytes());
  Value *all = b.getInt64(groups);
  const int64_t groupBytes = columns / layout.block * layout.blockBytes();
  const int64_t quads = tokens / 4;
  const bool once = groups <= segment;
  auto clear = [&] {
    return Values(4 * vectors, Constant::getNullValue(floats()));
  };
  auto place = [&](Value *sums, int64_t i) { return w.at(sums, i * 16); };
  if (!once)
    w.loop(panels * quads, [&](Value *i) {
      for (auto [index, zero] : enumerate(clear()))
        w.store(zero, place(sumsOf(0, i), int64_t(index)));
    });
  w.loop(b.getInt64(0), all, segment, {}, [&](Value *start, Values none) {
    Value *count = b.CreateBinaryIntrinsic(
        Intrinsic::smin, b.CreateSub(all, start), b.getInt64(segment));
    for (int64_t p = 0; p < panels; ++p)
      w.loop(b.getInt64(0), count, 1, {}, [&](Value *i, Values nothing) {
        rewrite(w.at(w.at(first, p * layout.panelBytes()),
                     b.CreateAdd(start, i), groupBytes),
                w.at(w.at(codeMemory, p * segment * codeBytes), i, codeBytes),
                w.at(w.at(unitMemory, p * segment * outerTokenBytes), i,
                     outerTokenBytes));
        return nothing;
      });
    streamProducts(w,
                   {panels, tokens, columns, segment * codeBytes,
                    int64_t(q.shape.xStride) * outerLanes},
                   w.at(q.xq, start, codeBytes), codeMemory, productMemory,
                   count);
    for (int64_t p = 0; p < panels; ++p)
      w.loop(quads, [&](Value *quad) {
        Values sums = clear();
        if (!once)
          for (auto [index, sum] : enumerate(sums))
            sum = w.load(floats(), place(sumsOf(p, quad), int64_t(index)));
        sums = summed(panels, p, quad, start, count, sums);
        if (once)
          return finish(b.CreateAdd(panel, b.getInt64(p)), quad, sums);
        for (auto [index, sum] : enumerate(sums))
          w.store(sum, place(sumsOf(p, quad), int64_t(index)));
      });
    return none;
  });
  if (once)
    return;
  for (int64_t p = 0; p < panels; ++p)
    w.loop(quads, [&](Value *quad) {
      Values sums;
      for (int64_t i = 0; i < 4 * vectors; ++i)
        sums.push_back(w.load(floats(), place(sumsOf(p, quad), i)));
      finish(b.CreateAdd(panel, b.getInt64(p)), quad, sums);
    });
}

void ArmOuter::build() {
  // The products of the next four columns are loaded ahead, behind the last
  // ones as well.
  codeMemory = w.stack(together * segment * codeBytes + outerTokenBytes);
  unitMemory = w.stack(together * segment * outerTokenBytes);
  productMemory = w.stack(together * segment * tokens * outerTokenBytes);
  if (groups > segment)
    sumMemory = w.stack(together * tokens * outerTokenBytes);
  const int64_t pairs = layout.panels / 2;
  if (pairs)
    w.loop(pairs, [&](Value *i) { pass(2, b.CreateMul(i, b.getInt64(2))); });
  if (layout.panels % 2)
    pass(1, b.getInt64(pairs * 2));
}

} // namespace

void buildArmOuter(LinearQ &kernel) { ArmOuter(kernel).build(); }

} // namespace lfmc

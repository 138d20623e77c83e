// SPDX-License-Identifier: Apache-2.0
//
// linear_q by sdot: a vector of four rows times four columns of a token, which
// the instruction takes from a lane. Nothing is broadcast and no sum is added
// across lanes; the panel's rows share every load of activations. Scales and
// sums of four activation blocks are loaded at once. Instructions are written
// in the order of ArmOrder.h and stay in it.
#include "codegen/llvm/micro/ArmOrder.h"
#include "codegen/llvm/micro/ArmTile.h"
#include "codegen/llvm/micro/Schedule.h"

#include "llvm/IR/InlineAsm.h"
#include "llvm/Support/MathExtras.h"

#include <map>
#include <tuple>

using namespace llvm;

namespace lfmc {
namespace {

class ArmDot : ArmWeights {
public:
  explicit ArmDot(LinearQ &kernel)
      : ArmWeights(kernel), order(armOrder(kernel.layout, kernel.shape.tokens)),
        tokens(kernel.shape.tokens),
        inRegisters(tokens * vectors <= 8 && !(layout.isQ6() && tokens > 1)) {}
  void build();

private:
  /// Scales and sums of up to four activation blocks of a token.
  struct Factors {
    Value *scale, *sum, *start;
  };
  /// An activation block: where its weights are and what of them is loaded,
  /// the vectors of a kind in memory's order.
  struct Block {
    int64_t number;
    int64_t scalesAt, lowAt, topAt;
    double multiplied; ///< when its last product is written
    Values low, top, scales, products, x, sums;
    SmallVector<Codes> codes;
    SmallVector<Value *, 4> scale, minimum;
  };
  /// Groups [quad, quad + order.groups) of four columns in some vectors of
  /// rows.
  struct Batch {
    int64_t quad, vector, vectors;
    double time;
  };
  Factors factors(Value *block, int64_t token, int64_t count);
  Value *near(Value *base, int64_t offset);
  void pair(Values &into, Value *base, int64_t at, int64_t n);
  void codes(Schedule &schedule, Block &block, Batch batch);
  void multiply(Schedule &schedule, Block &block, Batch batch);
  void scale(Schedule &schedule, Block &block, Values &sums, double end);
  void group(Values &sums, Value *panel, Value *index, int64_t count);
  Value *perToken(Value *first, int64_t token) {
    return w.at(first, token * q.shape.xStride);
  }

  const ArmOrder &order;
  const int64_t tokens;
  const bool inRegisters; ///< the f32 sums
  Value *sumMemory = nullptr;
  // Of the group that is written.
  SmallVector<Factors> all;
  bool single = false;
  Value *scaleBase = nullptr, *lowBase = nullptr, *topBase = nullptr,
        *index = nullptr;
  std::map<std::tuple<Value *, int64_t, int64_t>, Value *> anchors;
};

ArmDot::Factors ArmDot::factors(Value *block, int64_t token, int64_t count) {
  auto load = [&](Type *vector, Value *from) -> Value * {
    Value *at = perToken(w.at(from, block, 4), token);
    if (count == 4)
      return w.load(vector, at);
    return b.CreateVectorSplat(4, w.load(vector->getScalarType(), at));
  };
  Factors f{load(floats(), q.xs), nullptr, nullptr};
  if (layout.offset() || layout.hasMinimum())
    f.sum = load(words(), q.xsum);
  if (layout.offset()) // a power of two
    f.start = b.CreateNeg(
        b.CreateShl(f.sum, w.all(words(), Log2_64(layout.offset()))));
  if (layout.hasMinimum())
    f.sum = b.CreateFMul(b.CreateSIToFP(f.sum, floats()), f.scale);
  return f;
}

/// A pair of vectors is loaded from up to 1 KiB before or after a register, in
/// steps of 16 bytes: those in reach share one.
Value *ArmDot::near(Value *base, int64_t offset) {
  const int64_t reach = offset / 2048, rest = offset % 16;
  const int64_t from = reach * 2048 + 1024 + rest;
  Value *&anchor = anchors[{base, reach, rest}];
  if (!anchor) // an address that the code generator cannot see through
    anchor = b.CreateCall(
        InlineAsm::get(FunctionType::get(b.getPtrTy(), {b.getPtrTy()}, false),
                       "", "=r,0", /*hasSideEffects=*/false),
        {w.at(base, from)});
  return w.at(anchor, offset - from);
}

/// Loads the vectors `n` and `n` + 1 of those at `base` + `at`.
void ArmDot::pair(Values &into, Value *base, int64_t at, int64_t n) {
  into.resize(std::max<size_t>(into.size(), n + 2));
  if (into[n])
    return;
  LoadInst *load = b.CreateAlignedLoad(w.vector(b.getInt8Ty(), 32),
                                       near(base, at + n * 16), Align(1));
  // Weights are read once: ldnp.
  load->setMetadata(
      LLVMContext::MD_nontemporal,
      MDNode::get(b.getContext(), ConstantAsMetadata::get(b.getInt32(1))));
  for (int64_t i = 0; i < 2; ++i)
    into[n + i] = w.part(load, i * 16, 16);
}

/// The weights of a batch: loads and unpacking.
void ArmDot::codes(Schedule &schedule, Block &block, Batch batch) {
  const int64_t inByte = layout.isQ8() ? 1 : 2, each = together() / inByte;
  SmallVector<std::function<void()>> loads;
  auto row = [&](Values Block::*into, Value *base, int64_t at, int64_t first) {
    for (int64_t n = first / 2 * 2; n < first + batch.vectors; n += 2)
      loads.push_back([this, &block, into, base, at, n] {
        pair(block.*into, base, at, n);
      });
  };
  for (int64_t g = 0; g < order.groups; g += inByte)
    row(&Block::low, lowBase, block.lowAt,
        (batch.quad + g) / inByte * vectors + batch.vector);
  if (layout.isQ6())
    row(&Block::top, topBase, block.topAt,
        batch.quad / 4 * vectors + batch.vector);
  for (auto [i, load] : enumerate(loads))
    schedule.add(batch.time - order.ahead +
                     order.loads * double(i) / double(loads.size()),
                 load);
  int64_t n = 0;
  for (int64_t set = batch.quad / together();
       set < (batch.quad + order.groups) / together(); ++set)
    for (int64_t v = batch.vector; v < batch.vector + batch.vectors; ++v, ++n)
      for (int stage = 0; stage < stages; ++stage)
        schedule.add(batch.time - order.unpack + order.stage * stage +
                         order.unpackStep * double(n / order.abreast),
                     [this, &block, each, v, set, stage] {
                       Codes &codes = block.codes[set * vectors + v];
                       if (stage == 0) {
                         for (int64_t i = 0; i < each; ++i)
                           codes.low.push_back(
                               block.low[(set * each + i) * vectors + v]);
                         if (layout.isQ6())
                           codes.top = block.top[set * vectors + v];
                       }
                       unpack(codes, stage);
                     });
}

/// The products of a batch.
void ArmDot::multiply(Schedule &schedule, Block &block, Batch batch) {
  const int64_t count = order.groups * batch.vectors * tokens;
  for (int64_t n = 0; n < count; ++n) {
    const int64_t t = n % tokens;
    const int64_t v = batch.vector + n / tokens % batch.vectors;
    const int64_t quad = batch.quad + n / tokens / batch.vectors;
    if (quad % 4 == 0 && v == 0)
      schedule.add(batch.time - order.x, [this, &block, t, quad] {
        Value *codes = w.at(perToken(q.xq, t), index, 32);
        block.x[t * 2 + quad / 4] =
            w.load(words(), w.at(codes, block.number * 32 + quad * 4));
      });
    block.multiplied =
        batch.time + order.products * double(order.groups * batch.vectors) /
                         double(vectors) * double(n) / double(count);
    schedule.add(block.multiplied, [this, &block, t, v, quad] {
      Value *&sum = block.products[t * vectors + v];
      sum =
          exactly("sdot $0.4s, $2.16b, $3.4b[" + std::to_string(quad % 4) + "]",
                  words(),
                  {sum,
                   block.codes[quad / together() * vectors + v]
                       .codes[quad % together()],
                   block.x[t * 2 + quad / 4]},
                  true);
    });
  }
}

/// Adds a block's products to the sums.
void ArmDot::scale(Schedule &schedule, Block &block, Values &sums, double end) {
  const int64_t kinds = layout.hasMinimum() ? 2 : 1;
  const bool whole = vectors % 4 == 0;
  for (int64_t n = 0; whole && n < kinds * vectors / 2; n += 2)
    schedule.add(end - order.scales, [this, &block, n] {
      pair(block.scales, scaleBase, block.scalesAt, n);
    });
  for (int64_t n = 0; n < kinds * vectors; ++n)
    schedule.add(end + order.widen, [this, &block, whole, n] {
      Value *from = whole ? block.scales[n / 2]
                          : w.load(w.vector(b.getInt8Ty(), 8),
                                   w.at(scaleBase, block.scalesAt + n * 8));
      (n < vectors ? block.scale : block.minimum)
          .push_back(exactly(whole && n % 2 ? "fcvtl2 $0.4s, $1.8h"
                                            : "fcvtl $0.4s, $1.4h",
                             floats(), {from}));
    });
  // With many tokens the last product may not be written by then.
  const double late = std::max(0.0, block.multiplied - (end + order.convert));
  const std::string lane =
      ".s[" + std::to_string(single ? 0 : block.number % 4) + "]";
  for (int64_t n = 0; n < tokens * vectors; ++n) {
    Value *&product = block.products[n];
    const int64_t t = n / vectors, v = n % vectors;
    schedule.add(end + order.convert + late, [this, &product] {
      product = exactly("scvtf $0.4s, $1.4s", floats(), {product});
    });
    schedule.add(end + order.multiply + late + order.multiplyStep * double(n),
                 [this, &product, t, lane] {
                   product = exactly("fmul $0.4s, $1.4s, $2" + lane, floats(),
                                     {product, all[t].scale});
                 });
    const double add = end + order.add + late;
    const double added = add + order.addStep * double(n);
    if (!inRegisters)
      schedule.add(add - order.fetch + order.fetchStep * double(n),
                   [this, &block, n] {
                     block.sums[n] = w.load(floats(), w.at(sumMemory, n * 16));
                   });
    schedule.add(added, [this, &product, &sums, &block, t, v, n, lane] {
      Value *&sum = inRegisters ? sums[n] : block.sums[n];
      auto add = [&](Value *term) {
        sum = exactly("fadd $0.4s, $1.4s, $2.4s", floats(), {sum, term});
      };
      if (layout.hasMinimum()) {
        add(exactly("fmul $0.4s, $1.4s, $2.4s", floats(),
                    {product, block.scale[v]}));
        add(exactly("fmul $0.4s, $1.4s, $2" + lane, floats(),
                    {block.minimum[v], all[t].sum}));
      } else {
        sum = exactly("fmla $0.4s, $2.4s, $3.4s", floats(),
                      {sum, product, block.scale[v]}, true);
      }
    });
    if (!inRegisters)
      schedule.add(added + order.keep, [this, &block, n] {
        w.store(block.sums[n], w.at(sumMemory, n * 16));
      });
  }
}

/// `count` activation blocks (1 or 4) from `index` on.
void ArmDot::group(Values &sums, Value *panel, Value *index, int64_t count) {
  single = count == 1;
  this->index = index;
  anchors.clear();
  all.clear();
  for (int64_t t = 0; t < tokens; ++t)
    all.push_back(factors(index, t, count));
  Value *perBlock = b.getInt64(q.perBlock());
  Value *weights =
      w.at(panel, b.CreateUDiv(index, perBlock), layout.blockBytes());
  Value *part = b.CreateURem(index, perBlock);
  scaleBase = weights;
  lowBase = single ? low(weights, part) : weights;
  topBase = single ? top(weights, part) : weights;
  Schedule schedule;
  SmallVector<Block, 4> blocks(count);
  for (int64_t i = 0; i < count; ++i) {
    Block &block = blocks[i];
    const int64_t in = i % q.perBlock();
    block.number = i;
    block.scalesAt = i / q.perBlock() * layout.blockBytes();
    block.lowAt =
        single ? 0 : block.scalesAt + layout.codesStart() + in * q.lowBytes();
    block.topAt =
        single ? 0 : block.scalesAt + layout.topStart() + in * q.topBytes();
    block.products.resize(tokens * vectors);
    block.sums.resize(tokens * vectors);
    block.x.resize(tokens * 2);
    block.codes.resize(8 / together() * vectors);
    for (int64_t n = 0; n < tokens * vectors; ++n)
      schedule.add(double(i * 8) - order.start, [this, &block, n] {
        Value *start = all[n / vectors].start;
        block.products[n] =
            start ? exactly("dup $0.4s, $1.s[" +
                                std::to_string(single ? 0 : block.number) + "]",
                            words(), {start})
                  : exactly("movi $0.2d, #0", words(), {});
      });
    for (int64_t quad = 0; quad < 8; quad += order.groups)
      for (int64_t v = 0; v < vectors; v += order.vectors) {
        const Batch batch{
            quad, v, std::min<int64_t>(order.vectors, vectors - v),
            double(i * 8 + quad) + double(order.groups * v) / double(vectors)};
        codes(schedule, block, batch);
        multiply(schedule, block, batch);
      }
    scale(schedule, block, sums, double((i + 1) * 8));
  }
  schedule.run();
}

void ArmDot::build() {
  const halide::LinearQShape &shape = q.shape;
  const int64_t groups = q.blocks() / 4 * 4, count = tokens * vectors;
  prepare();
  if (!inRegisters)
    sumMemory = w.stack(count * 16);
  w.loop(layout.panels, [&](Value *panel) {
    Value *first = w.at(q.weights, panel, layout.panelBytes());
    Values sums(inRegisters ? count : 0, Constant::getNullValue(floats()));
    if (!inRegisters)
      for (int64_t i = 0; i < count; ++i)
        w.store(Constant::getNullValue(floats()), w.at(sumMemory, i * 16));
    auto run = [&](int64_t from, int64_t to, int64_t step) {
      if (from < to)
        sums = w.loop(b.getInt64(from), b.getInt64(to), step, sums,
                      [&](Value *index, Values carried) {
                        group(carried, first, index, step);
                        return carried;
                      });
    };
    run(0, groups, 4);
    run(groups, q.blocks(), 1);
    for (int64_t t = 0; t < tokens; ++t) {
      Values parts;
      for (int64_t v = 0; v < vectors; ++v)
        parts.push_back(
            inRegisters
                ? sums[t * vectors + v]
                : w.load(floats(), w.at(sumMemory, (t * vectors + v) * 16)));
      q.finish(w.join(parts), panel,
               q.res ? w.at(q.res, t * shape.resStride * 4) : nullptr,
               w.at(q.y, t * shape.yStride * 4));
    }
  });
}

} // namespace

void buildArmDot(LinearQ &kernel) { ArmDot(kernel).build(); }

} // namespace lfmc

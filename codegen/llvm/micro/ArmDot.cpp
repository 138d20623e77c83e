// SPDX-License-Identifier: Apache-2.0
//
// linear_q by sdot: a vector of four rows times four columns of a token, which
// the instruction takes from a lane. Nothing is broadcast and no sum is added
// across lanes; the rows of a pass share every load of activations. Scales and
// sums of four activation blocks are loaded at once. Instructions are written
// in the order of ArmOrder.h and stay in it.
#include "codegen/llvm/micro/ArmDot.h"

#include "llvm/IR/InlineAsm.h"

using namespace llvm;

namespace lfmc {

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

/// What a block's products are added to.
void ArmDot::start(Schedule &schedule, Block &block) {
  if (byBlock && layout.offset())
    schedule.add(block.time - order.start - order.factors, [this, &block] {
      block.factors.start =
          w.load(words(), w.at(factorMemory, block.number * factorBytes + 16));
    });
  for (int64_t n = 0; n < tokens * rows; ++n)
    schedule.add(block.time - order.start +
                     order.startSpan * double(n) / double(tokens * rows),
                 [this, &block, n] {
                   const int64_t t = n / rows, v = block.first + n % rows;
                   block.products[t * vectors + v] =
                       layout.offset()
                           ? exactly("dup $0.4s, $1" + lane(block, t), words(),
                                     {of(block, t).start})
                           : exactly("movi $0.2d, #0", words(), {});
                 });
}

/// The products of a batch.
void ArmDot::multiply(Schedule &schedule, Block &block, Batch batch) {
  const int64_t count = order.groups * batch.vectors * tokens;
  for (int64_t n = 0; n < count; ++n) {
    const int64_t t = n % tokens;
    const int64_t v = batch.vector + n / tokens % batch.vectors;
    const int64_t quad = batch.quad + n / tokens / batch.vectors;
    if (quad % 4 == 0 && v == block.first)
      schedule.add(
          batch.time - order.x + order.xSpan * double(t) / double(tokens),
          [this, &block, t, quad] {
            Value *codes = w.at(perToken(q.xq, t), index, 32);
            block.x[t * 2 + quad / 4] =
                w.load(words(), w.at(codes, block.number * 32 + quad * 4));
          });
    block.multiplied =
        batch.time + order.products * double(order.groups * batch.vectors) /
                         double(rows) * double(n) / double(count);
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

/// `count` activation blocks (1 or 4) from `index` on.
void ArmDot::group(Values &sums, Value *panel, Value *index, int64_t count) {
  single = count == 1;
  this->index = index;
  anchors.clear();
  all.clear();
  for (int64_t t = 0; t < tokens; ++t)
    all.push_back(factors(index, t, count));
  if (byBlock)
    transpose(count);
  Value *perBlock = b.getInt64(q.perBlock());
  Value *weights =
      w.at(panel, b.CreateUDiv(index, perBlock), layout.blockBytes());
  Value *part = b.CreateURem(index, perBlock);
  scaleBase = weights;
  lowBase = single ? low(weights, part) : weights;
  topBase = single ? top(weights, part) : weights;
  Schedule schedule;
  SmallVector<Block, 16> blocks(count * vectors / rows);
  for (auto [n, block] : enumerate(blocks)) {
    const int64_t i = int64_t(n) % count, in = i % q.perBlock();
    block.number = i;
    block.first = int64_t(n) / count * rows;
    block.time = double(n * 8);
    block.scalesAt = i / q.perBlock() * layout.blockBytes();
    block.lowAt =
        single ? 0 : block.scalesAt + layout.codesStart() + in * q.lowBytes();
    block.topAt =
        single ? 0 : block.scalesAt + layout.topStart() + in * q.topBytes();
    block.products.resize(tokens * vectors);
    block.least.resize(tokens * vectors);
    block.x.resize(tokens * 2);
    block.codes.resize(8 / together() * vectors);
    start(schedule, block);
    for (int64_t quad = 0; quad < 8; quad += order.groups)
      for (int64_t v = 0; v < rows; v += order.vectors) {
        const Batch batch{quad, block.first + v,
                          std::min<int64_t>(order.vectors, rows - v),
                          block.time + double(quad) +
                              double(order.groups * v) / double(rows)};
        codes(schedule, block, batch);
        multiply(schedule, block, batch);
      }
    rowScales(schedule, block);
    scale(schedule, block, sums, count);
  }
  schedule.run();
}

void ArmDot::build() {
  const halide::LinearQShape &shape = q.shape;
  const int64_t groups = q.blocks() / 4 * 4, count = tokens * vectors;
  prepare();
  if (!inRegisters)
    sumMemory = w.stack(count * 16);
  if (byBlock)
    factorMemory = w.stack(4 * factorBytes);
  w.loop(layout.panels, [&](Value *panel) {
    Value *first = w.at(q.weights, panel, layout.panelBytes());
    Values sums(inRegisters ? count : 0, Constant::getNullValue(floats()));
    if (!inRegisters)
      for (int64_t i = 0; i < count; ++i)
        w.store(Constant::getNullValue(floats()), w.at(sumMemory, i * 16));
    auto run = [&](int64_t from, int64_t to, int64_t step) {
      if (from < to)
        sums =
            w.loop(b.getInt64(from), b.getInt64(to), step, sums,
                   [&](Value *index, Values carried) {
                     Values fetched(count);
                     group(inRegisters ? carried : fetched, first, index, step);
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

void buildArmDot(LinearQ &kernel) { ArmDot(kernel).build(); }

} // namespace lfmc

// SPDX-License-Identifier: Apache-2.0
//
// linear_q by sdot: from integer sums of products to f32 sums.
#include "codegen/llvm/micro/ArmDot.h"

#include "llvm/Support/MathExtras.h"

using namespace llvm;

namespace lfmc {

/// Those of `count` activation blocks, 1 or 4.
ArmDot::Factors ArmDot::factors(Value *block, int64_t token, int64_t count) {
  auto load = [&](Type *vector, Value *from) -> Value * {
    Value *at = perToken(w.at(from, block, 4), token);
    if (count == 4)
      return w.load(vector, at);
    return b.CreateVectorSplat(4, w.load(vector->getScalarType(), at));
  };
  Factors f{load(floats(), q.xs)};
  if (layout.offset()) // a power of two
    f.start = b.CreateNeg(b.CreateShl(
        load(words(), q.xsum), w.all(words(), Log2_64(layout.offset()))));
  if (layout.hasMinimum())
    f.sum =
        b.CreateFMul(b.CreateSIToFP(load(words(), q.xsum), floats()), f.scale);
  return f;
}

/// Factors of four blocks of each token, written to memory as those of the
/// tokens of each block.
void ArmDot::transpose(int64_t count) {
  auto write = [&](Value *Factors::*kind, int64_t at) {
    auto pairs = [&](int64_t t, ArrayRef<int> mask) {
      return shuffle(all[t].*kind, all[std::min(t + 1, tokens - 1)].*kind,
                     mask);
    };
    for (int i = 0; i < count; ++i) {
      const int of[] = {i & 1, 4 + (i & 1), 2 + (i & 1), 6 + (i & 1)};
      const int from[] = {i & 2, i & 2 | 1, 4 + (i & 2), 5 + (i & 2)};
      w.store(shuffle(pairs(0, of), pairs(2, of), from),
              w.at(factorMemory, i * factorBytes + at));
    }
  };
  write(&Factors::scale, 0);
  if (all[0].start || all[0].sum)
    write(all[0].start ? &Factors::start : &Factors::sum, 16);
}

/// A block's scales (and minima) of rows: loads, and f32 of f16.
void ArmDot::rowScales(Schedule &schedule, Block &block) {
  const double end = block.time + 8;
  const bool whole = rows % 2 == 0; // vectors of eight
  for (int64_t kind = 0; kind < (layout.hasMinimum() ? 2 : 1); ++kind) {
    const int64_t first = kind * vectors + block.first;
    for (int64_t n = first / 2; whole && n < (first + rows) / 2; n += 2)
      schedule.add(end - order.scales, [this, &block, n] {
        if (rows % 4 == 0)
          return pair(block.scales, scaleBase, block.scalesAt, n);
        block.scales.resize(std::max<size_t>(block.scales.size(), n + 1));
        block.scales[n] =
            w.load(bytes(), w.at(scaleBase, block.scalesAt + n * 16));
      });
    for (int64_t n = first; n < first + rows; ++n)
      schedule.add(end + order.widen, [this, &block, kind, whole, n] {
        Value *from = whole ? block.scales[n / 2]
                            : w.load(w.vector(b.getInt8Ty(), 8),
                                     w.at(scaleBase, block.scalesAt + n * 8));
        (kind ? block.minimum : block.scale)
            .push_back(exactly(whole && n % 2 ? "fcvtl2 $0.4s, $1.8h"
                                              : "fcvtl $0.4s, $1.4h",
                               floats(), {from}));
      });
  }
  if (byBlock)
    schedule.add(end - order.scales, [this, &block] {
      Value *from = w.at(factorMemory, block.number * factorBytes);
      block.factors.scale = w.load(floats(), from);
      if (layout.hasMinimum())
        block.factors.sum = w.load(floats(), w.at(from, 16));
    });
}

/// Adds a block's products to the sums; the first and the last of `count`
/// blocks also load and store sums that are in memory.
void ArmDot::scale(Schedule &schedule, Block &block, Values &sums,
                   int64_t count) {
  // With many tokens the last product may not be written in time.
  const double converted =
      std::max(block.time + 8 + order.convert, block.multiplied);
  for (int64_t i = 0; i < tokens * rows; ++i) {
    const int64_t t = i / rows, row = i % rows;
    const int64_t n = t * vectors + block.first + row;
    Value *&product = block.products[n], *&sum = sums[n];
    auto at = [&](double time, double span, std::function<void()> write) {
      schedule.add(converted + (time - order.convert) +
                       span * double(i) / double(tokens * rows),
                   std::move(write));
    };
    auto multiply = [this](Value *x, Value *y, const std::string &lane) {
      return exactly("fmul $0.4s, $1.4s, $2" + lane, floats(), {x, y});
    };
    auto add = [this](Value *x, Value *y) {
      return exactly("fadd $0.4s, $1.4s, $2.4s", floats(), {x, y});
    };
    at(order.convert, 0, [this, &product] {
      product = exactly("scvtf $0.4s, $1.4s", floats(), {product});
    });
    at(order.multiply, order.multiplySpan, [=, this, &block, &product] {
      product = multiply(product, of(block, t).scale, lane(block, t));
    });
    if (!inRegisters && block.number == 0)
      at(order.add - order.fetch, order.fetchSpan,
         [this, &sum, n] { sum = w.load(floats(), w.at(sumMemory, n * 16)); });
    if (layout.hasMinimum()) {
      Value *&least = block.least[n];
      at(order.weigh, order.weighSpan, [=, &block, &product] {
        product = multiply(product, block.scale[row], ".4s");
      });
      at(order.least, order.leastSpan, [=, this, &block, &least] {
        least = multiply(block.minimum[row], of(block, t).sum, lane(block, t));
      });
      at(order.add, order.addSpan,
         [=, &sum, &product] { sum = add(sum, product); });
      at(order.add + order.more, order.addSpan,
         [=, &sum, &least] { sum = add(sum, least); });
    } else {
      at(order.add, order.addSpan, [this, &block, &sum, &product, row] {
        sum = exactly("fmla $0.4s, $2.4s, $3.4s", floats(),
                      {sum, product, block.scale[row]}, true);
      });
    }
    if (!inRegisters && block.number == count - 1)
      at(order.add + order.more + order.keep, order.addSpan,
         [this, &sum, n] { w.store(sum, w.at(sumMemory, n * 16)); });
  }
}

} // namespace lfmc

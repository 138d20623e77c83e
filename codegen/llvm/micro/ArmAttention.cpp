// SPDX-License-Identifier: Apache-2.0
//
// attention_block over f16 caches for 64-bit Arm. Keys and values are
// multiplied as they are stored: by fmlal, whose sums are f32 (FEAT_FHM), or
// in f16 with sums widened after a few steps (FEAT_FP16). Queries, times the
// scale, and weights are rounded to f16; maxima, masses and sums between calls
// are f32. Positions that no token sees are left out.
#include "codegen/llvm/micro/ArmAttention.h"

#include "codegen/llvm/micro/HalfTile.h"

#include "runtime/include/lfm/program.h"

using namespace llvm;

namespace lfmc {

namespace {

constexpr float lowest = -1e30f; ///< in place of a maximum that is -inf
constexpr float hidden = -3e38f; ///< a score: its weight is 0 beside `lowest`
constexpr int64_t pass = 16;     ///< positions at once of a softmax
constexpr int64_t f16Cache = 2;  ///< parameter "kvtype"

class ArmAttention {
public:
  ArmAttention(MicroWriter &writer, const halide::AttentionShape &shape,
               bool longProducts);
  void build();

private:
  void convertQueries();
  void scores();
  void softmax(Value *row);
  void values();

  Value *exponential(Value *x);
  Values loadPass(Value *from);
  Value *clamp(Value *x, Value *most);
  Value *roundUp(Value *x, int64_t unit) {
    return b.CreateAnd(b.CreateAdd(x, w.index(unit - 1)), w.index(-unit));
  }
  Value *splat(Value *x) { return b.CreateVectorSplat(4, x); }
  Value *constant(float x) { return w.all(floats, x); }
  Value *greater(Value *x, Value *y) {
    return b.CreateBinaryIntrinsic(Intrinsic::maxnum, x, y);
  }
  /// Calls body(first row) for every tile of rows.
  void overRows(const HalfTile &tile, function_ref<void(Value *)> body);

  MicroWriter &w;
  IRBuilder<> &b;
  const halide::AttentionShape &shape;
  const int64_t rows, rowBytes, scoreBytes, cacheBytes;
  const HalfTile scoreTile, sumTile;
  /// Of weights in f16, so that small ones keep their bits: products of fmlal
  /// are exact.
  const float raised;
  FixedVectorType *floats, *halves;
  Value *q, *k, *v, *mIn, *lIn, *accIn, *m, *l, *acc, *limit;
  Value *seen;                           ///< positions
  Value *queries, *scoreMemory, *decays; ///< stack
};

/// The longest of `wanted` steps or fewer that divides `steps`, in eights.
int64_t runOf(int64_t steps, int64_t wanted) {
  while (steps % wanted)
    wanted -= 8;
  return wanted;
}

constexpr int64_t scoreRun = 64, sumRun = 16;

ArmAttention::ArmAttention(MicroWriter &writer,
                           const halide::AttentionShape &shape,
                           bool longProducts)
    : w(writer), b(w.b), shape(shape), rows(shape.rows()),
      rowBytes(int64_t(shape.dim) * 2), scoreBytes(int64_t(shape.block) * 4),
      cacheBytes(shape.block * rowBytes),
      scoreTile(HalfTile::choose(rows, shape.block / 8,
                                 longProducts ? 0 : runOf(shape.dim, scoreRun),
                                 shape.scoreRegisters, true)),
      sumTile(HalfTile::choose(rows, shape.dim / 8, longProducts ? 0 : sumRun,
                               shape.sumRegisters, false)),
      raised(longProducts ? 32768 : 1), floats(w.vector(w.f32(), 4)),
      halves(w.vector(b.getHalfTy(), 8)) {
  ArrayRef<Value *> hosts = w.hosts();
  q = hosts[0], k = hosts[1], v = hosts[2];
  mIn = hosts[3], lIn = hosts[4], accIn = hosts[5];
  m = hosts[6], l = hosts[7], acc = hosts[8];
  limit = w.scalars()[0];
}

Value *ArmAttention::clamp(Value *x, Value *most) {
  Value *positive = b.CreateBinaryIntrinsic(Intrinsic::smax, x, w.index(0));
  return b.CreateBinaryIntrinsic(Intrinsic::smin, positive, most);
}

void ArmAttention::overRows(const HalfTile &tile,
                            function_ref<void(Value *)> body) {
  w.loop(w.index(0), w.index(rows), tile.rows, {}, [&](Value *row, Values) {
    body(row);
    return Values();
  });
}

void ArmAttention::convertQueries() {
  queries = w.stack(rows * rowBytes);
  w.loop(shape.tokens, [&](Value *t) {
    w.loop(shape.group, [&](Value *g) {
      Value *row = b.CreateAdd(b.CreateMul(t, w.index(shape.group)), g);
      Value *from = w.at(w.at(q, t, int64_t(shape.qStride) * 4), g,
                         int64_t(shape.dim) * 4);
      Value *to = w.at(queries, row, rowBytes);
      w.loop(shape.dim / 8, [&](Value *eight) {
        auto *eightFloats = w.vector(w.f32(), 8);
        Value *x = w.load(eightFloats, w.at(from, eight, 32));
        x = b.CreateFMul(x, w.all(eightFloats, shape.scale));
        w.store(b.CreateFPTrunc(x, halves), w.at(to, eight, 16));
      });
    });
  });
}

void ArmAttention::scores() {
  const HalfTile &tile = scoreTile;
  const int64_t positions = tile.vectors * 8, pieces = rows / tile.rows;
  HalfFactors factors;
  factors.leftStride = rowBytes;
  factors.rightStride = shape.lanes * 2;
  for (int64_t i = 0; i < tile.vectors; ++i)
    factors.at.push_back(i / 2 * (shape.lanes * rowBytes) + i % 2 * 16);
  w.loopIfAny(
      w.index(0), roundUp(seen, pass), positions, {},
      [&](Value *first, Values) {
        Value *within = b.CreateURem(first, w.index(shape.lanes));
        factors.right =
            w.at(w.at(k, b.CreateSub(first, within), rowBytes), within, 2);
        overRows(tile, [&](Value *row) {
          factors.left = w.at(queries, row, rowBytes);
          // One token is bound by memory, which must not idle: each product
          // asks for what the other one reads next, here these positions'
          // values.
          const int64_t share = positions * rowBytes / pieces;
          if (shape.tokens == 1) {
            factors.ahead = w.at(w.at(w.at(v, 64), first, rowBytes),
                                 b.CreateUDiv(row, w.index(tile.rows)), share);
            factors.aheadPerStep = share / shape.dim;
          }
          Values sums(tile.rows * tile.vectors * 2, constant(0));
          sums = accumulate(w, tile, factors, w.index(shape.dim), sums);
          Value *to = w.at(w.at(scoreMemory, row, scoreBytes), first, 4);
          for (int64_t r = 0; r < tile.rows; ++r)
            for (int64_t i = 0; i < tile.vectors * 2; ++i)
              w.store(sums[r * tile.vectors * 2 + i],
                      w.at(to, r * scoreBytes + i * 16));
        });
        return Values();
      });
}

/// raised * e^x for x <= 0: 2^n p(f), f in [-1/2, 1/2], of 3e-6; raised at 0.
Value *ArmAttention::exponential(Value *x) {
  Type *integers = w.vector(b.getInt32Ty(), 4);
  // Adding 1.5 * 2^23 rounds and leaves n in the low bits.
  Value *magic = constant(12582912.0f);
  Value *t = greater(b.CreateFMul(x, constant(1.44269504f)), constant(-126));
  Value *shifted = b.CreateFAdd(t, magic);
  Value *f = b.CreateFSub(t, b.CreateFSub(shifted, magic));
  auto factor = [&](float value) { return constant(value * raised); };
  Value *square = b.CreateFMul(f, f);
  Value *high = w.fma(f, factor(0.0559065113f), factor(0.240240986f));
  high = w.fma(square, factor(0.00958288657f), high);
  Value *p = w.fma(f, factor(0.693124184f), factor(1));
  p = w.fma(square, high, p);
  Value *bits = b.CreateAdd(
      b.CreateBitCast(p, integers),
      b.CreateShl(b.CreateBitCast(shifted, integers), w.all(integers, 23)));
  return b.CreateBitCast(bits, floats);
}

Values ArmAttention::loadPass(Value *from) {
  Values parts;
  for (int64_t i = 0; i < pass / 4; ++i)
    parts.push_back(w.load(floats, w.at(from, i * 16)));
  return parts;
}

/// Of one row: maximum, weights in place of the scores, mass, decay.
void ArmAttention::softmax(Value *row) {
  auto at = [&](Value *memory) { return w.at(memory, row, 4); };
  Value *line = w.at(scoreMemory, row, scoreBytes);
  Value *end = b.CreateAdd(limit, b.CreateUDiv(row, w.index(shape.group)));
  Value *begin =
      shape.window ? b.CreateSub(end, w.index(shape.window)) : w.index(0);
  Value *all = roundUp(seen, pass), *plain = w.index(0);
  if (!shape.window)
    plain = b.CreateAnd(clamp(end, all), w.index(-pass));
  auto join = [&](Values parts, function_ref<Value *(Value *, Value *)> with) {
    return with(with(parts[0], parts[1]), with(parts[2], parts[3]));
  };
  auto largest = [&](Value *x, Value *y) { return greater(x, y); };

  Values tops(pass / 4, constant(hidden));
  tops =
      w.loopIfAny(w.index(0), plain, pass, tops, [&](Value *j, Values carried) {
        Values parts = loadPass(w.at(line, j, 4));
        for (auto [top, part] : zip(carried, parts))
          top = greater(top, part);
        return carried;
      });
  tops = w.loopIfAny(plain, all, pass, tops, [&](Value *j, Values carried) {
    Type *words = w.vector(b.getInt32Ty(), 4);
    auto less = [&](Value *bound, bool from, int64_t first) {
      SmallVector<Constant *> at;
      for (int64_t i = 0; i < 4; ++i)
        at.push_back(b.getInt32(uint32_t(first + i)));
      Value *left = splat(b.CreateTrunc(b.CreateSub(bound, j), b.getInt32Ty()));
      Value *place = b.CreateBitCast(ConstantVector::get(at), words);
      return from ? b.CreateICmpSGE(place, left) : b.CreateICmpSLT(place, left);
    };
    Values parts = loadPass(w.at(line, j, 4));
    for (auto [i, top, part] : enumerate(carried, parts)) {
      Value *visible = less(end, false, int64_t(i) * 4);
      if (shape.window)
        visible = b.CreateAnd(visible, less(begin, true, int64_t(i) * 4));
      part = b.CreateSelect(visible, part, constant(hidden));
      w.store(part, w.at(w.at(line, j, 4), int64_t(i) * 16));
      top = greater(top, part);
    }
    return carried;
  });

  Value *before = b.CreateBinaryIntrinsic(
      Intrinsic::maxnum, w.load(w.f32(), at(mIn)), w.all(w.f32(), lowest));
  Value *high = b.CreateBinaryIntrinsic(
      Intrinsic::maxnum, before, b.CreateFPMaxReduce(join(tops, largest)));
  Value *decay = b.CreateExtractElement(
      exponential(splat(b.CreateFSub(before, high))), uint64_t(0));
  w.store(decay, at(decays));
  Values masses(pass / 4, constant(0));
  masses =
      w.loopIfAny(w.index(0), all, pass, masses, [&](Value *j, Values carried) {
        Values parts = loadPass(w.at(line, j, 4));
        for (auto [mass, part] : zip(carried, parts)) {
          part = exponential(b.CreateFSub(part, splat(high)));
          mass = b.CreateFAdd(mass, part);
        }
        // Behind what is still to be read.
        for (int64_t i = 0; i < 2; ++i)
          w.store(
              b.CreateFPTrunc(w.join({parts[i * 2], parts[i * 2 + 1]}), halves),
              w.at(w.at(line, j, 2), i * 16));
        return carried;
      });
  Value *mass =
      join(masses, [&](Value *x, Value *y) { return b.CreateFAdd(x, y); });
  mass = w.b.CreateFAddReduce(ConstantFP::get(w.f32(), 0), mass);
  Value *unit = w.all(w.f32(), 1 / raised);
  Value *sum = w.fma(w.load(w.f32(), at(lIn)), decay, mass);
  w.store(b.CreateFMul(sum, unit), at(l));
  // Without a visible position the maximum stays what it was.
  Value *first = b.CreateBinaryIntrinsic(Intrinsic::smax, begin, w.index(0));
  Value *last =
      b.CreateBinaryIntrinsic(Intrinsic::smin, end, w.index(shape.block));
  w.store(b.CreateSelect(b.CreateICmpSLT(first, last), high,
                         w.load(w.f32(), at(mIn))),
          at(m));
}

void ArmAttention::values() {
  const HalfTile &tile = sumTile;
  const int64_t width = tile.vectors * 8;
  const int64_t pieces = rows / tile.rows * (shape.dim / width);
  HalfFactors factors;
  factors.leftStride = scoreBytes;
  factors.rightStride = rowBytes;
  for (int64_t i = 0; i < tile.vectors; ++i)
    factors.at.push_back(i * 16);
  overRows(tile, [&](Value *row) {
    factors.left = w.at(scoreMemory, row, scoreBytes);
    w.loop(shape.dim / width, [&](Value *slice) {
      factors.right = w.at(v, slice, width * 2);
      if (shape.tokens == 1) { // the next step's keys
        Value *piece =
            b.CreateAdd(b.CreateMul(b.CreateUDiv(row, w.index(tile.rows)),
                                    w.index(shape.dim / width)),
                        slice);
        factors.ahead = w.at(w.at(k, cacheBytes), piece, cacheBytes / pieces);
        factors.aheadPerStep = rowBytes / pieces;
      }
      auto place = [&](Value *memory, int64_t r, int64_t i) {
        return w.at(
            w.at(w.at(memory, row, int64_t(shape.dim) * 4), slice, width * 4),
            r * shape.dim * 4 + i * 16);
      };
      Values sums;
      for (int64_t r = 0; r < tile.rows; ++r) {
        Value *decay =
            splat(w.load(w.f32(), w.at(w.at(decays, row, 4), r * 4)));
        for (int64_t i = 0; i < tile.vectors * 2; ++i)
          sums.push_back(
              b.CreateFMul(w.load(floats, place(accIn, r, i)), decay));
      }
      sums = accumulate(w, tile, factors, seen, sums);
      for (int64_t r = 0; r < tile.rows; ++r)
        for (int64_t i = 0; i < tile.vectors * 2; ++i) {
          Value *sum = sums[r * tile.vectors * 2 + i];
          w.store(b.CreateFMul(sum, constant(1 / raised)), place(acc, r, i));
        }
    });
  });
}

void ArmAttention::build() {
  scoreMemory = w.stack(rows * scoreBytes);
  decays = w.stack(rows * 4);
  seen = clamp(b.CreateAdd(limit, w.index(shape.tokens - 1)),
               w.index(shape.block));
  convertQueries();
  scores();
  w.loop(rows, [&](Value *row) { softmax(row); });
  values();
}

} // namespace

bool armAttentionTakes(const halide::MicroKernel &kernel,
                       const Target &target) {
  auto size = [&](const char *name) {
    auto it = kernel.ints.find(name);
    return it == kernel.ints.end() ? int64_t(0) : it->second;
  };
  return (target.cpuFeatures & (LFM_CPU_ARM_FHM | LFM_CPU_ARM_FP16)) &&
         size("kvtype") == f16Cache &&
         (!size("lanes") || size("lanes") == pass) && size("dim") % 8 == 0 &&
         size("block") % pass == 0;
}

void buildArmAttention(Module &module, StringRef symbol,
                       const halide::Params &params, const Target &target) {
  const halide::AttentionShape shape(params, int(target.vectorRegisters));
  params.integer("kvtype", 0, f16Cache, f16Cache);
  params.checkAllRead();
  MicroWriter writer(module, symbol, 9, 8, 1);
  ArmAttention(writer, shape, target.cpuFeatures & LFM_CPU_ARM_FHM).build();
  writer.finish();
}

} // namespace lfmc

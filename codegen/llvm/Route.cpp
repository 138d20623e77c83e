// SPDX-License-Identifier: Apache-2.0
//
// lfm2.route, token by token. An expert's rank is the number of those that go
// before it: a loop without branches, and no value of the logits, NaN included,
// leads out of range.
#include "codegen/llvm/MacroBuilder.h"

#include "passes/expand/Emitter.h"

using namespace mlir;

namespace lfmc {
namespace {

class RouteBuilder {
public:
  RouteBuilder(MacroBuilder &m, const DeclParams &params, const MacroArgs &args)
      : m(m), params(params), experts(params["experts"]), topK(params["top_k"]),
        f32(m.b.getF32Type()), i32(m.b.getI32Type()), logits(args.pointers[0]),
        bias(params["bias"] ? args.pointers[1] : Value()),
        chosen(args.pointers[args.pointers.size() - 2]),
        weights(args.pointers.back()), scores(m.stack(experts * 4)),
        keys(m.stack(experts * 4)), ranks(m.stack(experts * 4)) {}

  void token(Value t) {
    score(m.at(logits, t, params["x_stride"] * 4));
    rank();
    Value row = m.mul(t, topK * 4);
    pick(m.at(chosen, row), m.at(weights, row));
    weigh(m.at(weights, row));
  }

private:
  void store(Value value, Value pointer) {
    LLVM::StoreOp::create(m.b, m.loc, value, pointer);
  }
  expand::Emitter scalars() { return expand::Emitter(m.loc, m.b); }
  void score(Value row);
  void rank();
  void pick(Value experts, Value weights);
  void weigh(Value weights);

  MacroBuilder &m;
  const DeclParams &params;
  const int64_t experts, topK;
  Type f32, i32;
  Value logits, bias, chosen, weights, scores, keys, ranks;
};

void RouteBuilder::score(Value row) {
  m.loop(m.i64(0), m.i64(experts), 1, [&](Value expert) {
    Value offset = m.mul(expert, 4);
    Value logit = m.load(f32, m.at(row, offset));
    expand::Emitter e = scalars();
    Value power = e.exp(e.sub(e.f32(0), logit));
    Value value = e.div(e.f32(1), e.add(e.f32(1), power));
    store(value, m.at(scores, offset));
    if (bias) {
      Value added = m.load(f32, m.at(bias, offset));
      value = scalars().add(value, added);
    }
    store(value, m.at(keys, offset));
  });
}

void RouteBuilder::rank() {
  auto number = [&](int64_t value) -> Value {
    return arith::ConstantOp::create(m.b, m.loc, m.b.getI32IntegerAttr(value));
  };
  m.loop(m.i64(0), m.i64(experts), 1, [&](Value expert) {
    Value key = m.load(f32, m.at(keys, expert, 4));
    SmallVector<Value> count = m.loop(
        m.i64(0), m.i64(experts), 1, number(0),
        [&](Value other, ValueRange carried) -> SmallVector<Value> {
          Value its = m.load(f32, m.at(keys, other, 4));
          auto compare = [&](arith::CmpFPredicate predicate) {
            return arith::CmpFOp::create(m.b, m.loc, predicate, its, key);
          };
          Value equal = arith::AndIOp::create(
              m.b, m.loc, compare(arith::CmpFPredicate::OEQ),
              m.less(other, expert));
          Value before = arith::OrIOp::create(
              m.b, m.loc, compare(arith::CmpFPredicate::OGT), equal);
          Value one = arith::ExtUIOp::create(m.b, m.loc, i32, before);
          return {arith::AddIOp::create(m.b, m.loc, carried[0], one)};
        });
    store(count[0], m.at(ranks, expert, 4));
  });
}

/// The chosen ones by ascending number.
void RouteBuilder::pick(Value chosenRow, Value weightRow) {
  m.loop(
      m.i64(0), m.i64(experts), 1, m.i64(0),
      [&](Value expert, ValueRange carried) -> SmallVector<Value> {
        Value slot = carried[0];
        Value rank = m.toI64(m.load(i32, m.at(ranks, expert, 4)));
        Value here = arith::AndIOp::create(
            m.b, m.loc, m.less(rank, m.i64(topK)), m.less(slot, m.i64(topK)));
        m.ifThen(here, [&] {
          store(m.toI32(expert), m.at(chosenRow, slot, 4));
          store(m.load(f32, m.at(scores, expert, 4)), m.at(weightRow, slot, 4));
        });
        return {m.add(
            slot, arith::ExtUIOp::create(m.b, m.loc, m.b.getI64Type(), here))};
      });
}

void RouteBuilder::weigh(Value row) {
  const double scaling = params.real("scaling");
  Value sum;
  if (params["normalize"]) {
    Value none = arith::ConstantOp::create(m.b, m.loc, m.b.getF32FloatAttr(0));
    sum = m.loop(m.i64(0), m.i64(topK), 1, none,
                 [&](Value j, ValueRange carried) -> SmallVector<Value> {
                   Value weight = m.load(f32, m.at(row, j, 4));
                   return {scalars().add(carried[0], weight)};
                 })
              .front();
  }
  m.loop(m.i64(0), m.i64(topK), 1, [&](Value j) {
    Value at = m.at(row, j, 4), weight = m.load(f32, at);
    expand::Emitter e = scalars();
    if (sum)
      weight = e.div(weight, e.add(sum, e.f32(1e-6)));
    if (scaling != 1)
      weight = e.mul(weight, e.f32(scaling));
    store(weight, at);
  });
}

} // namespace

void buildRoute(MacroBuilder &m, const DeclParams &params,
                const MacroArgs &args) {
  RouteBuilder builder(m, params, args);
  constexpr int64_t tile = 8;
  Value first = m.mul(args.chunk, tile);
  m.loop(first, m.min(m.add(first, m.i64(tile)), args.n), 1,
         [&](Value t) { builder.token(t); });
}

} // namespace lfmc

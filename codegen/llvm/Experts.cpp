// SPDX-License-Identifier: Apache-2.0
//
// lfm2.experts: the linears of each token's chosen experts. The expert's panels
// are found at run time, by the result of the route; all else is a linear.
//
// One token: a chunk is some panels of one slot (swiglu) or the same panels of
// all slots, whose sums it adds in their order. Many tokens: a chunk is some
// panels of one expert (swiglu), for the tokens that have chosen it, or some
// panels of all experts, one after the other. Their rows of x are gathered, and
// tiles of them go through the many-token microkernel into scratch, from where
// they are scattered. Each element of the result is written by one chunk, in
// the order of the experts: threads and chunks do not change it.
#include "codegen/llvm/LinearCall.h"

#include "mlir/Dialect/Arith/IR/Arith.h"

using namespace mlir;

namespace lfmc {
namespace {

class ExpertsBuilder {
public:
  ExpertsBuilder(MacroBuilder &m, const DeclParams &params,
                 const MacroArgs &args);
  void build();

private:
  void oneToken(Value first, Value last);
  void manyTokens(Value first, Value last);
  Value tokensOf(Value expert);
  Value sortTokens();
  void gather(Value id, Value to);
  void multiply(Value list, Value count, Value expert, Value first, Value last);

  Value loadId(Value pointer, Value index) {
    return m.toI64(m.load(m.b.getI32Type(), m.at(pointer, index, 4)));
  }
  void store(Value value, Value pointer) {
    LLVM::StoreOp::create(m.b, m.loc, value, pointer, /*alignment=*/4);
  }
  Value vector(Value pointer) {
    auto type = VectorType::get({call.columns()}, m.b.getF32Type());
    return LLVM::LoadOp::create(m.b, m.loc, type, pointer, /*alignment=*/4);
  }
  Value splat(Value scalar);
  Value panel(Value expert, Value p) {
    Value number = m.add(m.mul(expert, panels), p);
    return m.at(w, number, call.panelBytes());
  }
  /// The panel's columns of y in row `row` of an expert's result.
  Value yOf(Value row, Value p) {
    return m.at(m.at(y, row, out * 4), p, call.columns() * 4);
  }

  MacroBuilder &m;
  const DeclParams &params;
  const MacroArgs &args;
  const LinearCall call;
  const int64_t experts, topK, panels, perChunk, pieces, tokens;
  const int64_t out; ///< columns of an expert's result
  const int64_t xWidth;
  const bool swiglu, residual;
  Value x, w, chosen, scales, res, y;
  /// Scratch: lists of tokens, gathered rows of x, results of a tile.
  Value ids, rows, tile;
};

ExpertsBuilder::ExpertsBuilder(MacroBuilder &m, const DeclParams &params,
                               const MacroArgs &args)
    : m(m), params(params), args(args), call(params),
      experts(params["experts"]), topK(params["top_k"]),
      panels(params["n"] / call.rows), perChunk(params["per_chunk"]),
      pieces(params["pieces"]), tokens(params["tokens"]),
      out(panels * call.columns()),
      xWidth(call.swiglu ? call.k : topK * call.k), swiglu(call.swiglu),
      residual(params["residual"]) {
  ArrayRef<Value> pointers = args.pointers;
  x = pointers[0], w = pointers[1], chosen = pointers[2];
  scales = swiglu ? pointers[3] : Value();
  res = residual ? pointers[3] : Value();
  y = pointers.back();
}

Value ExpertsBuilder::splat(Value scalar) {
  auto type = VectorType::get({call.columns()}, m.b.getF32Type());
  Value vector = LLVM::PoisonOp::create(m.b, m.loc, type);
  Value zero = arith::ConstantOp::create(m.b, m.loc, m.b.getI32IntegerAttr(0));
  vector = LLVM::InsertElementOp::create(m.b, m.loc, vector, scalar, zero);
  SmallVector<int32_t> mask(call.columns(), 0);
  return LLVM::ShuffleVectorOp::create(m.b, m.loc, vector, vector, mask);
}

void ExpertsBuilder::build() {
  Value piece = swiglu ? m.rem(args.chunk, pieces) : args.chunk;
  Value first = m.mul(piece, perChunk);
  Value last = m.min(m.add(first, m.i64(perChunk)), m.i64(panels));
  if (tokens == 1)
    oneToken(first, last);
  else
    manyTokens(first, last);
}

void ExpertsBuilder::oneToken(Value first, Value last) {
  const int64_t group = params["panels"];
  auto slot = [&](Value j, Value res) {
    Value expert = loadId(chosen, j);
    m.loop(first, last, group, [&](Value p) {
      LinearCall::Operands o;
      o.x = x;
      o.width = xWidth;
      o.column = swiglu ? Value() : m.mul(j, call.k);
      o.w = panel(expert, p);
      o.y = yOf(swiglu ? j : m.i64(0), p);
      o.panels = group;
      o.count = call.k;
      if (res)
        o.res = m.at(res, p, call.columns() * 4);
      call.emit(m, o);
      if (!swiglu)
        return;
      Value scale = splat(m.load(m.b.getF32Type(), m.at(scales, j, 4)));
      for (int64_t i = 0; i < group; ++i) {
        Value at = m.at(o.y, i * call.columns() * 4);
        store(arith::MulFOp::create(m.b, m.loc, vector(at), scale), at);
      }
    });
  };
  if (swiglu)
    return slot(m.div(args.chunk, pieces), {});
  slot(m.i64(0), res);
  m.loop(m.i64(1), m.i64(topK), 1, [&](Value j) { slot(j, y); });
}

/// Lists the tokens that have chosen `expert`, as t * topK + slot, and returns
/// how many there are. No token chooses an expert twice.
Value ExpertsBuilder::tokensOf(Value expert) {
  return m
      .loop(m.i64(0), m.mul(args.n, topK), 1, m.i64(0),
            [&](Value id, ValueRange carried) -> SmallVector<Value> {
              // Stored in any case: the next one takes the place.
              store(m.toI32(id), m.at(ids, carried[0], 4));
              Value equal =
                  arith::CmpIOp::create(m.b, m.loc, arith::CmpIPredicate::eq,
                                        loadId(chosen, id), expert);
              return {m.add(
                  carried[0],
                  arith::ExtUIOp::create(m.b, m.loc, m.b.getI64Type(), equal))};
            })
      .front();
}

/// Lists all tokens by expert. Returns where those of each expert end.
Value ExpertsBuilder::sortTokens() {
  Value ends = m.stack(experts * 4), all = m.mul(args.n, topK);
  auto end = [&](Value expert) { return m.at(ends, expert, 4); };
  m.loop(m.i64(0), m.i64(experts), 1,
         [&](Value e) { store(m.toI32(m.i64(0)), end(e)); });
  m.loop(m.i64(0), all, 1, [&](Value id) {
    Value e = loadId(chosen, id);
    store(m.toI32(m.add(loadId(ends, e), m.i64(1))), end(e));
  });
  m.loop(m.i64(0), m.i64(experts), 1, m.i64(0),
         [&](Value e, ValueRange begin) -> SmallVector<Value> {
           Value next = m.add(begin[0], loadId(ends, e));
           store(m.toI32(begin[0]), end(e));
           return {next};
         });
  m.loop(m.i64(0), all, 1, [&](Value id) {
    Value e = loadId(chosen, id), place = loadId(ends, e);
    store(m.toI32(id), m.at(ids, place, 4));
    store(m.toI32(m.add(place, m.i64(1))), end(e));
  });
  return ends;
}

/// What an expert reads of a token, as a dense row.
void ExpertsBuilder::gather(Value id, Value to) {
  const int64_t stride =
      call.block ? call.rowBytes(xWidth) : params["x_stride"] * call.xBytes();
  Value column = swiglu ? m.i64(0) : m.mul(m.rem(id, topK), call.k);
  Value row = m.at(x, m.div(id, topK), stride);
  for (const LinearCall::Part &part :
       call.parts(m, row, xWidth, column, call.k)) {
    m.copy(to, part.address, part.bytes);
    to = m.at(to, part.bytes);
  }
}

/// Panels [first, last) of an expert for `count` tokens listed at `list`.
void ExpertsBuilder::multiply(Value list, Value count, Value expert,
                              Value first, Value last) {
  const int64_t step = params["gathered"], columns = call.columns();
  const int64_t rowBytes = call.rowBytes(call.k);
  SmallVector<int64_t> sizes = tileSizes(tokens);
  m.loop(m.i64(0), count, step, [&](Value begin) {
    Value size = m.min(m.sub(count, begin), m.i64(step));
    Value block = m.at(list, begin, 4);
    m.loop(m.i64(0), size, 1,
           [&](Value i) { gather(loadId(block, i), m.at(rows, i, rowBytes)); });
    m.loop(first, last, 1, [&](Value p) {
      m.tiles(size, sizes, [&](Value t, int64_t tileTokens) {
        LinearCall::Operands o;
        o.x = m.at(rows, t, rowBytes);
        o.w = panel(expert, p);
        o.y = tile;
        o.tokens = tileTokens;
        o.count = o.xStride = call.k;
        o.yStride = columns;
        call.emit(m, o);
        m.loop(m.i64(0), m.i64(tileTokens), 1, [&](Value i) {
          Value id = loadId(block, m.add(t, i));
          Value result = vector(m.at(tile, i, columns * 4));
          Value at = yOf(swiglu ? id : m.div(id, topK), p);
          if (swiglu) {
            Value scale = m.load(m.b.getF32Type(), m.at(scales, id, 4));
            result = arith::MulFOp::create(m.b, m.loc, result, splat(scale));
          } else {
            result = arith::AddFOp::create(m.b, m.loc, vector(at), result);
          }
          store(result, at);
        });
      });
    });
  });
}

void ExpertsBuilder::manyTokens(Value first, Value last) {
  const int64_t most = params["max_tokens"];
  ids = m.stack((swiglu ? most + 1 : most * topK) * 4);
  rows = m.stack(params["gathered"] * call.rowBytes(call.k));
  tile = m.stack(tokens * call.columns() * 4);
  if (swiglu) {
    Value expert = m.div(args.chunk, pieces);
    return multiply(ids, tokensOf(expert), expert, first, last);
  }
  m.loop(m.i64(0), args.n, 1, [&](Value t) {
    m.loop(first, last, 1, [&](Value p) {
      Value start =
          residual ? vector(m.at(m.at(res, t, params["res_stride"] * 4), p,
                                 call.columns() * 4))
                   : splat(arith::ConstantOp::create(m.b, m.loc,
                                                     m.b.getF32FloatAttr(0)));
      store(start, yOf(t, p));
    });
  });
  Value ends = sortTokens();
  m.loop(m.i64(0), m.i64(experts), 1, m.i64(0),
         [&](Value expert, ValueRange begin) -> SmallVector<Value> {
           Value end = loadId(ends, expert);
           multiply(m.at(ids, begin[0], 4), m.sub(end, begin[0]), expert, first,
                    last);
           return {end};
         });
}

} // namespace

void buildExperts(MacroBuilder &m, const DeclParams &params,
                  const MacroArgs &args) {
  ExpertsBuilder(m, params, args).build();
}

} // namespace lfmc

// SPDX-License-Identifier: Apache-2.0
//
// y[t] = W · x[t] over a range of panels. One token: panels stream by, x stays
// in L1. Many tokens: panel by panel, a block of columns at a time (it stays in
// L2), over all tokens in register tiles; partial sums go through y. Quantized
// weights are small enough for one block of columns, so that a token's sums
// have the same order, and the same bits, alone and among others; but for steps
// of at least wide_from tokens, if there is a group: a panel is then rewritten
// to one scale for `group` columns and multiplied by rows of such scales, a
// slice of wide_columns at a time (codegen/llvm/micro/WidePanel.cpp). In steps
// of pairs_from tokens and more panels are unpacked in the same way, with the
// blocks' own scales (PairPanel.cpp).
#include "codegen/llvm/LinearCall.h"

using namespace mlir;

namespace lfmc {

/// Sizes of tiles of rewritten weights: `most`, then those of `more` that are
/// fewer, two tokens and one.
static SmallVector<int64_t> wideSizes(int64_t most,
                                      std::initializer_list<int64_t> more) {
  SmallVector<int64_t> sizes = {most};
  for (int64_t size : more)
    if (size < most)
      sizes.push_back(size);
  for (int64_t size : {2, 1})
    if (size < most)
      sizes.push_back(size);
  return sizes;
}

/// Rewrites a panel for x that is `grouped` or not, slice by slice, and calls
/// tile(first token, tokens, first column, columns, rewritten slice) for all
/// tokens, `sizes` at a time.
static void
rewritten(MacroBuilder &m, const LinearCall &call, int64_t most, bool grouped,
          ArrayRef<int64_t> sizes, Value panel, Value n,
          function_ref<void(Value, int64_t, int64_t, int64_t, Value)> tile) {
  const int64_t k = call.k, tokens = sizes.front();
  auto bytesOf = [&](int64_t columns) {
    return call.panelBytes() * columns / k;
  };
  Value wide = m.stack(call.wideBytes(most, grouped));
  for (int64_t k0 = 0; k0 < k; k0 += most) {
    const int64_t count = std::min(most, k - k0), rest = k - k0 - count;
    call.widen(m, panel, k0, count, wide, grouped);
    // What is rewritten next, maybe of the next panel, is asked for a little
    // with every tile: all at once would have to wait for the memory.
    const int64_t bytes = bytesOf(std::min(most, rest ? rest : k));
    const int64_t piece = std::min(bytes, int64_t(768));
    Value next = m.at(panel, bytesOf(k0 + count));
    m.tiles(n, sizes, [&](Value t, int64_t size) {
      if (size == tokens)
        m.prefetch(m.at(next, m.min(m.mul(m.div(t, tokens), piece),
                                    m.i64(bytes - piece))),
                   piece);
      tile(t, size, k0, count, wide);
    });
  }
}

void buildLinear(MacroBuilder &m, const DeclParams &params,
                 const MacroArgs &args) {
  const LinearCall call(params);
  const int64_t n = params["n"], k = call.k;
  const int64_t perChunk = params["per_chunk"], tokens = params["tokens"];
  const int64_t yStride = call.swiglu ? n / 2 : n;
  const int64_t resStride = params["res_stride"];
  const bool bias = params["bias"], residual = params["residual"];
  Value x = args.pointers[0], w = args.pointers[1], y = args.pointers.back();
  Value biasPtr = bias ? args.pointers[2] : Value();
  Value resPtr = residual ? args.pointers[bias ? 3 : 2] : Value();
  const int64_t xBytes =
      call.block ? call.rowBytes(k) : params["x_stride"] * call.xBytes();

  // Columns [k0, k0 + count) of `panels` panels from panel p, `size` tokens
  // from t.
  auto tile = [&](Value p, int64_t panels, Value t, int64_t size, int64_t k0,
                  int64_t count, bool grouped = false, Value wide = {}) {
    LinearCall::Operands o;
    o.grouped = grouped;
    o.outer = grouped && call.outer && size % 16 == 0;
    o.wide = wide;
    o.x = m.at(x, t, xBytes);
    o.w = m.at(w, p, call.panelBytes());
    o.y = m.at(m.at(y, p, call.columns() * 4), t, yStride * 4);
    o.tokens = size;
    o.panels = panels;
    o.k0 = k0;
    o.count = count;
    o.xStride = params["x_stride"];
    o.yStride = yStride;
    if (k0 == 0 && bias)
      o.bias = m.at(biasPtr, p, call.rows * 4);
    if (k0 != 0) { // add to the partial sums
      o.res = o.y;
      o.resStride = yStride;
    } else if (residual) {
      o.res = m.at(m.at(resPtr, p, call.rows * 4), t, resStride * 4);
      o.resStride = resStride;
    }
    call.emit(m, o);
  };

  Value first = m.mul(args.chunk, perChunk);
  Value last = m.min(m.add(first, m.i64(perChunk)), m.i64(n / call.rows));
  if (tokens == 1) {
    const int64_t group = params["panels"];
    m.loop(first, last, group,
           [&](Value p) { tile(p, group, m.i64(0), 1, 0, k); });
    return;
  }
  SmallVector<int64_t> sizes = tileSizes(tokens);
  auto panels = [&](Value begin, Value count, bool grouped) {
    auto all = [&](Value p, int64_t side) {
      for (int64_t k0 = 0; k0 < k; k0 += params["k_block"])
        m.tiles(count, sizes, [&](Value t, int64_t size) {
          tile(p, side, m.add(begin, t), size, k0,
               std::min(params["k_block"], k - k0), grouped && size % 4 == 0);
        });
    };
    if (!grouped || !call.outer)
      return m.loop(first, last, 1, [&](Value p) { all(p, 1); });
    // Outer products take two panels.
    SmallVector<int64_t> sides = {2};
    if (perChunk % 2 || n / call.rows % 2)
      sides.push_back(1);
    m.tiles(m.sub(last, first), sides,
            [&](Value i, int64_t side) { all(m.add(first, i), side); });
  };
  const int64_t step = params["token_block"];
  auto asStored = [&](bool grouped) {
    if (!step)
      return panels(m.i64(0), args.n, grouped);
    m.loop(m.i64(0), args.n, step, [&](Value begin) {
      panels(begin, m.min(m.sub(args.n, begin), m.i64(step)), grouped);
    });
  };
  auto wide = [&](bool grouped, ArrayRef<int64_t> sizes) {
    m.loop(first, last, 1, [&](Value p) {
      // Blocks that keep their scales are added up in order, all of them.
      rewritten(
          m, call, grouped ? params["wide_columns"] : k, grouped, sizes,
          m.at(w, p, call.panelBytes()), args.n,
          [&](Value t, int64_t size, int64_t k0, int64_t count, Value wide) {
            tile(p, 1, t, size, k0, count, grouped, wide);
          });
    });
  };
  // Steps of [from, to) tokens; 0: from the least, to the longest.
  auto steps = [&](int64_t from, int64_t to, function_ref<void()> body) {
    if (from && to && from >= to)
      return;
    auto below = [&] {
      to ? m.ifThen(m.less(args.n, m.i64(to)), body) : body();
    };
    from ? m.ifThen(m.less(m.i64(from - 1), args.n), below) : below();
  };
  const int64_t pairsFrom = params["pairs_from"];
  const int64_t groupFrom = call.group ? params["wide_from"] : 0;
  steps(0, pairsFrom ? pairsFrom : groupFrom, [&] { asStored(false); });
  if (pairsFrom)
    steps(pairsFrom, groupFrom, [&] {
      wide(false, wideSizes(params["pair_tokens"], {params["pair_tile"]}));
    });
  if (groupFrom)
    steps(groupFrom, 0, [&] {
      if (call.quads) // the microkernel rewrites
        asStored(true);
      else if (call.pairs) // three tokens fill the registers
        wide(true, wideSizes(params["wide_tokens"], {6, 3}));
      else
        wide(true, wideSizes(params["wide_tokens"], {8, 4}));
    });
}

} // namespace lfmc

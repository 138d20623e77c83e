// SPDX-License-Identifier: Apache-2.0
//
// y[t] = W · x[t] over a range of panels. One token: panels stream by, x stays
// in L1. Many tokens: panel by panel, a block of columns at a time (it stays in
// L2), over all tokens in register tiles; partial sums go through y. Quantized
// weights are small enough for one block of columns, so that a token's sums
// have the same order, and the same bits, alone and among others.
#include "codegen/llvm/MacroBuilder.h"

using namespace mlir;

namespace lfmc {
namespace {

/// One linear: its parameters, its operands, the microkernel of a tile.
class LinearBuilder {
public:
  LinearBuilder(MacroBuilder &m, const DeclParams &params,
                const MacroArgs &args);
  void build();

private:
  void tile(Value p, int64_t group, Value t, int64_t tokens, int64_t k0,
            int64_t depth);
  void inputs(halide::MicroKernel &micro, SmallVector<Value> &buffers, Value p,
              int64_t group, Value t, int64_t tokens, int64_t k0,
              int64_t depth);

  MacroBuilder &m;
  const DeclParams &params;
  const MacroArgs &args;
  const int64_t n, k, rows, block;
  const bool swiglu, bias, residual;
  const int64_t resStride, columns, yStride;
  int64_t columnBytes; ///< of `rows` rows; a block's, if quantized
  Value x, w, biasPtr, resPtr, y;
};

LinearBuilder::LinearBuilder(MacroBuilder &m, const DeclParams &params,
                             const MacroArgs &args)
    : m(m), params(params), args(args), n(params["n"]), k(params["k"]),
      rows(params["rows"]), block(params["block"]), swiglu(params["swiglu"]),
      bias(params["bias"]), residual(params["residual"]),
      resStride(params["res_stride"]), columns(swiglu ? rows / 2 : rows),
      yStride(swiglu ? n / 2 : n) {
  columnBytes = block ? rows * params["block_bytes"]
                      : rows * (params["wtype"] == 0 ? 4 : 2);
  x = args.pointers[0];
  w = args.pointers[1];
  biasPtr = bias ? args.pointers[2] : Value();
  resPtr = residual ? args.pointers[bias ? 3 : 2] : Value();
  y = args.pointers.back();
}

/// x and the weights of columns [k0, k0 + depth), and the parameters for them.
void LinearBuilder::inputs(halide::MicroKernel &micro,
                           SmallVector<Value> &buffers, Value p, int64_t group,
                           Value t, int64_t tokens, int64_t k0, int64_t depth) {
  const int64_t columnsPerStep = block ? block : 1;
  Value panel = m.at(w, p, k / columnsPerStep * columnBytes);
  Value weights = m.at(panel, k0 / columnsPerStep * columnBytes);
  if (!block) {
    const int64_t stride = params["x_stride"];
    const int64_t xBytes = params["xtype"] == 0 ? 4 : 2;
    micro.ints["x_stride"] = tokens == 1 ? depth : stride;
    micro.ints["k_total"] = group == 1 ? depth : k;
    if (params["xtype"] != 0)
      micro.ints["xtype"] = params["xtype"];
    if (params["dot"])
      micro.ints["dot"] = 1;
    buffers = {m.at(m.at(x, t, stride * xBytes), k0 * xBytes), weights};
    return;
  }
  // A quantized row: codes, scales, sums (lfm2.quantized).
  const int64_t rowBytes = k + k / 32 * 8;
  Value row = m.at(x, t, rowBytes);
  micro.family = "linear_q";
  micro.ints["block"] = block;
  micro.ints["depth"] = params["depth"];
  micro.ints["k_total"] = group == 1 ? depth : k;
  micro.ints["x_stride_bytes"] = tokens == 1 ? depth + depth / 4 : rowBytes;
  if (params["quads"] && tokens % 4 == 0)
    micro.ints["quads"] = 1;
  buffers = {m.at(row, k0), m.at(row, k + k0 / 8),
             m.at(row, k + k / 8 + k0 / 8), weights};
}

/// Columns [k0, k0 + depth) of `group` panels from panel p, `tokens` from t.
void LinearBuilder::tile(Value p, int64_t group, Value t, int64_t tokens,
                         int64_t k0, int64_t depth) {
  halide::MicroKernel micro{"linear",
                            {{"wtype", params["wtype"]},
                             {"rows", rows},
                             {"panels", group},
                             {"tokens", tokens},
                             {"k", depth},
                             {"y_stride", yStride},
                             {"swiglu", swiglu}},
                            {}};
  if (params["tile_rows"])
    micro.ints["tile_rows"] = params["tile_rows"];
  SmallVector<Value> buffers;
  inputs(micro, buffers, p, group, t, tokens, k0, depth);
  Value yTile = m.at(m.at(y, p, columns * 4), t, yStride * 4);
  if (k0 == 0 && bias) {
    micro.ints["bias"] = 1;
    buffers.push_back(m.at(biasPtr, p, rows * 4));
  }
  if (k0 != 0) { // add to the partial sums
    micro.ints["residual"] = 1;
    micro.ints["res_stride"] = yStride;
    buffers.push_back(yTile);
  } else if (residual) {
    micro.ints["residual"] = 1;
    micro.ints["res_stride"] = resStride;
    buffers.push_back(m.at(m.at(resPtr, p, rows * 4), t, resStride * 4));
  }
  if (tokens == 1) { // strides between tokens mean nothing: share the kernel
    micro.ints["y_stride"] = group * columns;
    if (micro.ints.count("res_stride"))
      micro.ints["res_stride"] = group * columns;
  }
  buffers.push_back(yTile);
  m.call(micro, buffers);
}

void LinearBuilder::build() {
  const int64_t perChunk = params["per_chunk"], tokens = params["tokens"];
  Value first = m.mul(args.chunk, perChunk);
  Value last = m.min(m.add(first, m.i64(perChunk)), m.i64(n / rows));
  if (tokens == 1) {
    const int64_t group = params["panels"];
    m.loop(first, last, group,
           [&](Value p) { tile(p, group, m.i64(0), 1, 0, k); });
    return;
  }
  SmallVector<int64_t> sizes = {tokens};
  if (tokens > 64)
    sizes.append({64, 32});
  for (int64_t size : {16, 8, 4, 2, 1})
    // Eights only for AMX's sake: elsewhere two fours cost the same.
    if (size < tokens && (size != 8 || tokens > 16))
      sizes.push_back(size);
  auto panels = [&](Value begin, Value count) {
    m.loop(first, last, 1, [&](Value p) {
      for (int64_t k0 = 0; k0 < k; k0 += params["k_block"])
        m.tiles(count, sizes, [&](Value t, int64_t size) {
          tile(p, 1, m.add(begin, t), size, k0,
               std::min(params["k_block"], k - k0));
        });
    });
  };
  const int64_t step = params["token_block"];
  if (!step)
    return panels(m.i64(0), args.n);
  m.loop(m.i64(0), args.n, step, [&](Value begin) {
    panels(begin, m.min(m.sub(args.n, begin), m.i64(step)));
  });
}

} // namespace

void buildLinear(MacroBuilder &m, const DeclParams &params,
                 const MacroArgs &args) {
  LinearBuilder(m, params, args).build();
}

} // namespace lfmc

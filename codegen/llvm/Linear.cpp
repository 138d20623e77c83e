// SPDX-License-Identifier: Apache-2.0
//
// y[t] = W · x[t] over a range of panels. One token: panels stream by, x stays
// in L1. Many tokens: panel by panel, a block of columns at a time (it stays in
// L2), over all tokens in register tiles; partial sums go through y.
#include "codegen/llvm/MacroBuilder.h"

using namespace mlir;

namespace lfmc {

void buildLinear(MacroBuilder &m, const DeclParams &params,
                 const MacroArgs &args) {
  const int64_t n = params["n"], k = params["k"], rows = params["rows"];
  const int64_t elementBytes = params["wtype"] == 0 ? 4 : 2;
  const bool swiglu = params["swiglu"], bias = params["bias"],
             residual = params["residual"];
  const int64_t xStride = params["x_stride"], resStride = params["res_stride"];
  const int64_t columns = swiglu ? rows / 2 : rows; // of y, a panel
  const int64_t yStride = swiglu ? n / 2 : n;
  const int64_t panels = n / rows, panelBytes = rows * k * elementBytes;

  Value x = args.pointers[0], w = args.pointers[1];
  Value biasPtr = bias ? args.pointers[2] : Value();
  Value resPtr = residual ? args.pointers[bias ? 3 : 2] : Value();
  Value y = args.pointers.back();
  Value first = m.mul(args.chunk, params["per_chunk"]);
  Value last = m.min(m.add(first, m.i64(params["per_chunk"])), m.i64(panels));

  // Columns [k0, k0 + depth) of `group` panels from panel p, `tile` tokens from t.
  auto block = [&](Value p, int64_t group, Value t, int64_t tile, int64_t k0,
                   int64_t depth) {
    bool start = k0 == 0;
    halide::MicroKernel micro{"linear",
                              {{"wtype", params["wtype"]},
                               {"rows", rows},
                               {"panels", group},
                               {"tokens", tile},
                               {"k", depth},
                               {"k_total", group == 1 ? depth : k},
                               {"x_stride", tile == 1 ? depth : xStride},
                               {"y_stride", yStride},
                               {"swiglu", swiglu}},
                              {}};
    Value yTile = m.at(m.at(y, p, columns * 4), t, yStride * 4);
    SmallVector<Value> buffers = {
        m.at(m.at(x, t, xStride * 4), k0 * 4),
        m.at(m.at(w, p, panelBytes), k0 * rows * elementBytes)};
    if (start && bias) {
      micro.ints["bias"] = 1;
      buffers.push_back(m.at(biasPtr, p, rows * 4));
    }
    if (!start) { // add to the partial sums
      micro.ints["residual"] = 1;
      micro.ints["res_stride"] = yStride;
      buffers.push_back(yTile);
    } else if (residual) {
      micro.ints["residual"] = 1;
      micro.ints["res_stride"] = resStride;
      buffers.push_back(m.at(m.at(resPtr, p, rows * 4), t, resStride * 4));
    }
    if (tile == 1) { // strides between tokens mean nothing: share the kernel
      micro.ints["y_stride"] = group * columns;
      if (micro.ints.count("res_stride"))
        micro.ints["res_stride"] = group * columns;
    }
    buffers.push_back(yTile);
    m.call(micro, buffers);
  };

  const int64_t tokens = params["tokens"];
  if (tokens == 1) {
    const int64_t group = params["panels"];
    m.loop(first, last, group,
           [&](Value p) { block(p, group, m.i64(0), 1, 0, k); });
    return;
  }
  SmallVector<int64_t> sizes = {tokens};
  for (int64_t size = 4; size >= 1; size /= 2)
    if (size < tokens)
      sizes.push_back(size);
  m.loop(first, last, 1, [&](Value p) {
    for (int64_t k0 = 0; k0 < k; k0 += params["k_block"])
      m.tiles(args.n, sizes, [&](Value t, int64_t tile) {
        block(p, 1, t, tile, k0, std::min(params["k_block"], k - k0));
      });
  });
}

} // namespace lfmc

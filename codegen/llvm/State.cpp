// SPDX-License-Identifier: Apache-2.0
//
// Kernels that write the session's state: rotated keys and values into their
// caches, gated columns into the short convolution's.
#include "codegen/llvm/MacroBuilder.h"

#include "dialects/lfm2/Storage.h"

using namespace mlir;

namespace lfmc {

void buildRopeCache(MacroBuilder &m, const DeclParams &params,
                    const MacroArgs &args) {
  const int64_t dim = params["dim"], rot = params["rot"];
  const int64_t heads = params["heads"], kvHeads = params["kv_heads"];
  const int64_t context = params["context"], lanes = params["lanes"];
  const bool quantized = params["kvtype"] == q8Cache;
  const int64_t block = params["block"];
  const int64_t elementBytes = params["kvtype"] == 0 ? 4 : 2;
  Value rotated = quantized ? m.stack(kvHeads * dim * 4) : Value();
  auto [q, k, v, qNorm, kNorm] =
      std::tuple(args.pointers[0], args.pointers[1], args.pointers[2],
                 args.pointers[3], args.pointers[4]);
  Value table = args.pointers[5], y = args.pointers[6];
  Value kCache = args.pointers[7], vCache = args.pointers[8];

  const int64_t tile = params.chunkTokens(4);
  Value first = m.mul(args.chunk, tile);
  Value last = m.min(m.add(first, m.i64(tile)), args.n);
  m.loop(first, last, 1, [&](Value t) {
    Value p = m.add(args.pos, t);
    Value angles = m.at(table, p, rot * 4);
    halide::MicroKernel rope{"rope",
                             {{"dim", dim},
                              {"heads", heads},
                              {"rot", rot},
                              {"norm", 1},
                              {"ytype", 0}},
                             {{"eps", params.real("eps")}}};
    m.call(rope, {m.at(q, t, params["q_stride"] * 4), qNorm, angles,
                  m.at(y, t, heads * dim * 4)});
    // Keys: [head][position / lanes][dim][position % lanes].
    rope.ints["heads"] = kvHeads;
    if (quantized) {
      m.call(rope,
             {m.at(k, t, params["k_stride"] * 4), kNorm, angles, rotated});
      // Of each block of positions codes, then scales.
      Value start =
          m.mul(m.div(p, block), block * lfm2::quantizedHeadBytes(dim));
      Value in = m.rem(p, block);
      auto write = [&](Value row, Value cache, int64_t adjacent) {
        Value code = m.add(m.mul(m.div(in, adjacent), adjacent * dim),
                           m.rem(in, adjacent));
        Value first = m.at(cache, start);
        m.call({"quantize_heads",
                {{"dim", dim},
                 {"heads", kvHeads},
                 {"q_elem_stride", adjacent},
                 {"q_head_stride", context * lfm2::quantizedHeadBytes(dim)}},
                {}},
               {row, m.at(first, code), m.at(m.at(first, block * dim), in, 4)});
      };
      write(rotated, kCache, lanes);
      write(m.at(v, t, params["v_stride"] * 4), vCache, 1);
      return;
    }
    rope.ints["ytype"] = params["kvtype"];
    rope.ints["y_head_stride"] = context * dim;
    rope.ints["y_elem_stride"] = lanes;
    Value column = m.add(m.mul(m.div(p, lanes), lanes * dim), m.rem(p, lanes));
    m.call(rope, {m.at(k, t, params["k_stride"] * 4), kNorm, angles,
                  m.at(kCache, column, elementBytes)});
    // Values: [head][position][dim].
    m.call({"copy",
            {{"dim", dim},
             {"heads", kvHeads},
             {"ytype", params["kvtype"]},
             {"y_head_stride", context * dim},
             {"y_elem_stride", 1}},
            {}},
           {m.at(v, t, params["v_stride"] * 4),
            m.at(vCache, p, dim * elementBytes)});
  });
}

void buildShortConv(MacroBuilder &m, const DeclParams &params,
                    const MacroArgs &args) {
  const int64_t channels = params["channels"], block = params["block"];
  const int64_t xStride = params["x_stride"] * 4;
  const bool bias = params["bias"];
  halide::MicroKernel conv{"short_conv",
                           {{"channels", block},
                            {"taps", params["taps"]},
                            {"s_stride", channels},
                            {"w_stride", channels},
                            {"bias", bias}},
                           {}};
  halide::MicroKernel push = conv;
  push.family = "short_conv_push";
  push.ints.erase("bias");

  Value offset = m.mul(args.chunk, block * 4);
  unsigned i = 0;
  Value x = m.at(args.pointers[i++], offset);
  Value w = m.at(args.pointers[i++], offset);
  Value biasPtr = bias ? m.at(args.pointers[i++], offset) : Value();
  Value pre = m.at(args.pointers[i++], offset);
  Value post = m.at(args.pointers[i++], offset);
  Value y = m.at(args.pointers[i++], offset);
  Value state = m.at(args.pointers[i++], offset);
  // Token after token: each reads the columns that the one before pushed.
  m.loop(m.i64(0), args.n, 1, [&](Value t) {
    Value row = m.mul(t, xStride / 4);
    SmallVector<Value> buffers = {m.at(pre, row, 4), m.at(post, row, 4),
                                  m.at(x, row, 4), w};
    if (bias)
      buffers.push_back(biasPtr);
    buffers.append({state, m.at(y, t, channels * 4)});
    m.call(conv, buffers);
    m.call(push, {m.at(pre, row, 4), m.at(x, row, 4), state});
  });
}

} // namespace lfmc

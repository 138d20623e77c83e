// SPDX-License-Identifier: Apache-2.0
//
// Kernels that take one row of a token after the other: gather, norm, SwiGLU,
// add.
#include "codegen/llvm/MacroBuilder.h"

using namespace mlir;

namespace lfmc {

/// Calls body(t) for the tokens of the chunk, of which there are
/// "chunk_tokens", or `preset`.
static void overTokens(MacroBuilder &m, const DeclParams &params,
                       const MacroArgs &args, int64_t preset,
                       llvm::function_ref<void(Value)> body) {
  const int64_t tile = params.chunkTokens(preset);
  Value first = m.mul(args.chunk, tile);
  m.loop(first, m.min(m.add(first, m.i64(tile)), args.n), 1, body);
}

void buildEmbed(MacroBuilder &m, const DeclParams &params,
                const MacroArgs &args) {
  const int64_t width = params["width"], rows = params["rows"];
  const int64_t depth = params["depth"], block = params["block"];
  const int64_t elementBytes = params["wtype"] == 0 ? 4 : 2;
  overTokens(m, params, args, 4, [&](Value t) {
    Value id = m.toI64(m.load(m.b.getI32Type(), m.at(args.pointers[0], t, 4)));
    if (block) {
      const int64_t panelBytes = rows * (width / block) * params["block_bytes"];
      halide::MicroKernel micro{"embed_q",
                                {{"width", width},
                                 {"rows", rows},
                                 {"depth", depth},
                                 {"block", block},
                                 {"wtype", params["wtype"]}},
                                {}};
      if (params["raised"])
        micro.ints["raised"] = 1;
      m.call(micro,
             {m.at(args.pointers[1], m.div(id, rows), panelBytes),
              m.at(args.pointers[2], t, width * 4)},
             {m.toI32(m.rem(id, rows))});
      return;
    }
    Value panel = m.mul(m.div(id, rows), rows * width);
    Value element = m.add(panel, m.mul(m.rem(id, rows), depth));
    m.call({"embed",
            {{"width", width}, {"rows", rows}, {"wtype", params["wtype"]}},
            {}},
           {m.at(args.pointers[1], element, elementBytes),
            m.at(args.pointers[2], t, width * 4)});
  });
}

void buildRmsNorm(MacroBuilder &m, const DeclParams &params,
                  const MacroArgs &args) {
  const int64_t width = params["width"], heads = params["heads"];
  overTokens(m, params, args, 8, [&](Value t) {
    m.call({"rms_norm",
            {{"width", width}, {"heads", heads}},
            {{"eps", params.real("eps")}}},
           {m.at(args.pointers[0], t, params["x_stride"] * 4), args.pointers[1],
            m.at(args.pointers[2], t, width * heads * 4)});
  });
}

constexpr int64_t bf16Type = 1; // StoredKind, and the families' element type

void buildQuantize(MacroBuilder &m, const DeclParams &params,
                   const MacroArgs &args) {
  const int64_t width = params["width"];
  const bool norm = params["norm"], rounded = params["rounded"];
  halide::MicroKernel micro{
      norm ? "rms_norm_quantize" : "quantize", {{"width", width}}, {}};
  if (rounded && norm)
    micro = {"rms_norm", {{"width", width}, {"ytype", bf16Type}}, {}};
  else if (rounded)
    micro = {"copy", {{"dim", width}, {"ytype", bf16Type}}, {}};
  if (norm)
    micro.doubles["eps"] = params.real("eps");
  if (params.has("vector") && !rounded)
    micro.ints["vector"] = params["vector"];
  const int64_t rowBytes = width + width / 4;
  // `shared` columns have one scale; 0: as everywhere else.
  bool limited = false;
  auto quantize = [&](Value t, Value row, int64_t shared) {
    SmallVector<Value> buffers = {
        m.at(args.pointers[0], t, params["x_stride"] * 4)};
    if (norm)
      buffers.push_back(args.pointers[1]);
    if (rounded) {
      buffers.push_back(m.at(args.pointers.back(), t, width * 2));
      return m.call(micro, buffers);
    }
    halide::MicroKernel kernel = micro;
    if (shared)
      kernel.ints["group"] = shared;
    if (shared && params["raised"])
      kernel.ints["raised"] = 1;
    if (limited)
      kernel.ints["limited"] = 1;
    buffers.append({row, m.at(row, width), m.at(row, width + width / 8)});
    m.call(kernel, buffers);
  };
  auto place = [&](Value t) { return m.at(args.pointers.back(), t, rowBytes); };
  auto inRows = [&](int64_t shared) {
    overTokens(m, params, args, 4,
               [&](Value t) { quantize(t, place(t), shared); });
  };
  // Whole quads, of long steps whole sixteens before them; what is left stays
  // in rows.
  auto inQuads = [&](int64_t shared) {
    auto arrange = [&](const char *family, Value rows, Value to) {
      halide::MicroKernel kernel{family, {{"k", width}}, {}};
      if (shared)
        kernel.ints["group"] = shared;
      m.call(kernel, {rows, to});
    };
    const int64_t chunk = params.chunkTokens(4);
    Value rows = m.stack(4 * rowBytes);
    Value first = m.mul(args.chunk, chunk);
    Value last = m.min(m.add(first, m.i64(chunk)), args.n);
    m.tiles(m.sub(last, first), {4, 1}, [&](Value done, int64_t size) {
      Value t = m.add(first, done);
      if (size == 1)
        return quantize(t, place(t), 0);
      for (int64_t i = 0; i < 4; ++i)
        quantize(m.add(t, m.i64(i)), m.at(rows, i * rowBytes), shared);
      if (!shared || !params["outer"])
        return arrange("quads", rows, place(t));
      Value whole = m.floorTo(args.n, 16), from = m.floorTo(t, 16);
      m.ifThen(m.less(t, whole), [&] {
        arrange("sixteens", rows, m.at(place(from), m.sub(t, from), 4));
      });
      m.ifThen(m.less(m.sub(whole, m.i64(1)), t),
               [&] { arrange("quads", rows, place(t)); });
    });
  };
  auto all = [&](int64_t shared) {
    return params["quads"] ? inQuads(shared) : inRows(shared);
  };
  const int64_t group = params["group"], from = params["wide_from"];
  if (!from)
    return all(0);
  m.ifThen(m.less(args.n, m.i64(from)), [&] { all(0); });
  m.ifThen(m.less(m.i64(from - 1), args.n), [&] {
    limited = params["limited"];
    all(group);
  });
}

static void buildBinary(MacroBuilder &m, const DeclParams &params,
                        const MacroArgs &args, const char *family) {
  const int64_t width = params["width"], stride = params["x_stride"] * 4;
  overTokens(m, params, args, 4, [&](Value t) {
    m.call({family, {{"width", width}}, {}},
           {m.at(args.pointers[0], t, stride),
            m.at(args.pointers[1], t, stride),
            m.at(args.pointers[2], t, width * 4)});
  });
}

void buildSwiglu(MacroBuilder &m, const DeclParams &params,
                 const MacroArgs &args) {
  buildBinary(m, params, args, "swiglu");
}
void buildAdd(MacroBuilder &m, const DeclParams &params,
              const MacroArgs &args) {
  buildBinary(m, params, args, "add");
}

} // namespace lfmc

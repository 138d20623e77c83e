// SPDX-License-Identifier: Apache-2.0
#include "codegen/llvm/LinearCall.h"

#include "codegen/llvm/micro/LinearQ.h"

using namespace mlir;

namespace lfmc {

LinearCall::LinearCall(const DeclParams &params)
    : rows(params["rows"]), k(params["k"]), depth(params["depth"]),
      wtype(params["wtype"]), xtype(params["xtype"]),
      tileRows(params["tile_rows"]), block(params["block"]),
      blockBytes(params["block_bytes"]), group(params["group"]),
      lanes(params["lanes"]), wideLanes(params["wide_lanes"]),
      wideRows(params["wide_rows"]), swiglu(params["swiglu"]),
      dot(params["dot"]), quads(params["quads"]), raised(params["raised"]),
      outer(params["outer"]), pairs(params["pairs"]),
      prefetch(params.has("prefetch") ? std::optional(params["prefetch"])
                                      : std::nullopt) {}

int64_t LinearCall::panelBytes() const {
  return block ? rows * (k / block) * blockBytes
               : rows * k * (wtype == 0 ? 4 : 2);
}

SmallVector<LinearCall::Part> LinearCall::parts(MacroBuilder &m, Value row,
                                                int64_t width, Value first,
                                                int64_t count,
                                                int64_t shared) const {
  if (!block)
    return {{m.at(row, first, xBytes()), count * xBytes()}};
  Value scale = m.div(first, shared / 4); // of 4 bytes
  const int64_t bytes = count / shared * 4;
  return {{m.at(row, first), count},
          {m.at(m.at(row, width), scale), bytes},
          {m.at(m.at(row, width + width / 8), scale), bytes}};
}

void LinearCall::emit(MacroBuilder &m, const Operands &o) const {
  const int64_t width = o.width ? o.width : k;
  const bool one = o.tokens == 1;
  halide::MicroKernel micro{block ? "linear_q" : "linear",
                            {{"wtype", wtype},
                             {"rows", rows},
                             {"panels", o.panels},
                             {"tokens", o.tokens},
                             {"k", o.count},
                             {"k_total", o.panels == 1 ? o.count : k},
                             {"swiglu", swiglu}},
                            {}};
  // Strides between tokens mean nothing for one: share the kernel.
  micro.ints["y_stride"] = one ? o.panels * columns() : o.yStride;
  if (int64_t chosen = o.wide && wideRows ? wideRows : tileRows)
    micro.ints["tile_rows"] = chosen;
  if (prefetch)
    micro.ints["prefetch"] = *prefetch;
  if (block) {
    micro.ints["block"] = block;
    micro.ints["depth"] = depth;
    if (raised)
      micro.ints["raised"] = 1;
    if (o.outer)
      micro.ints["outer"] = 1;
    else if (quads && o.tokens % 4 == 0)
      micro.ints["quads"] = 1;
    micro.ints["x_stride_bytes"] = one ? rowBytes(o.count) : rowBytes(width);
  } else {
    micro.ints["x_stride"] = one ? o.count : o.xStride;
    if (xtype)
      micro.ints["xtype"] = xtype;
    if (dot)
      micro.ints["dot"] = 1;
  }
  Value first = m.i64(o.k0);
  if (o.column)
    first = m.add(first, o.column);
  SmallVector<Value> buffers;
  const bool grouped = o.grouped;
  const int64_t shared = grouped ? group : 32;
  for (const Part &part : parts(m, o.x, width, first, o.count, shared))
    buffers.push_back(part.address);
  if (grouped)
    micro.ints["group"] = group;
  if (o.wide && pairs)
    micro.ints["pairs"] = 1;
  if (int64_t chosen = grouped ? wideLanes : lanes)
    micro.ints["lanes"] = chosen;
  buffers.push_back(o.wide ? o.wide : m.at(o.w, panelBytes() * o.k0 / k));
  if (o.bias) {
    micro.ints["bias"] = 1;
    buffers.push_back(o.bias);
  }
  if (o.res) {
    micro.ints["residual"] = 1;
    micro.ints["res_stride"] = one ? o.panels * columns() : o.resStride;
    buffers.push_back(o.res);
  }
  buffers.push_back(o.y);
  m.call(micro, buffers);
}

void LinearCall::widen(MacroBuilder &m, Value w, int64_t k0, int64_t count,
                       Value to, bool grouped) const {
  halide::MicroKernel micro{"wide_panel",
                            {{"wtype", wtype},
                             {"rows", rows},
                             {"block", block},
                             {"depth", depth},
                             {"k", count}},
                            {}};
  if (grouped)
    micro.ints["group"] = group;
  if (wideLanes)
    micro.ints["lanes"] = wideLanes;
  if (pairs)
    micro.ints["pairs"] = 1;
  m.call(micro, {m.at(w, panelBytes() * k0 / k), to});
}

int64_t LinearCall::wideBytes(int64_t count, bool grouped) const {
  if (grouped)
    return count / group * widePanelBytes(rows, group, pairs);
  const bool minimum = wtype == int64_t(lfm2::StoredKind::Q4M);
  return count / 32 * pairBlockBytes(rows, minimum);
}

SmallVector<int64_t> tileSizes(int64_t most) {
  SmallVector<int64_t> sizes = {most};
  if (most > 64)
    sizes.append({64, 32});
  for (int64_t size : {16, 8, 4, 2, 1})
    // Eights only for AMX's sake: elsewhere two fours cost the same.
    if (size < most && (size != 8 || most > 16))
      sizes.push_back(size);
  return sizes;
}

} // namespace lfmc

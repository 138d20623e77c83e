// SPDX-License-Identifier: Apache-2.0
#include "codegen/halide/QuantizedLayout.h"

#include <fmt/format.h>

namespace lfmc::halide {

QuantizedLayout::QuantizedLayout(const Params &params, const char *kName,
                                 bool totals) {
  wtype = params.integer("wtype", 4, 3, 6);
  block = params.integer("block", activationBlock, 1, 1 << 20);
  if (block != 32 && block != 64 && block != 128)
    params.fail(
        fmt::format("parameter 'block' is {}, expected 32, 64 or 128", block));
  // Sums of 16 bits hold half a block of products: four columns side by side,
  // in two such sums, are the least that works.
  depth = params.integer("depth", 4, 1, 16);
  if (depth != 4)
    params.fail(fmt::format("parameter 'depth' is {}, expected 4", depth));
  raised = params.flag("raised");
  if (raised && !isQ8())
    params.fail(fmt::format("parameter 'raised' wants 8-bit codes, found "
                            "'wtype' {}",
                            wtype));
  rows = params.size("rows");
  panels = totals ? params.size("panels", 1) : 1;
  k = params.size(kName);
  kTotal = totals ? params.size("k_total", k) : k;
  if (k % block || kTotal % block)
    params.fail(fmt::format("parameter '{}' is {}, expected a multiple of the "
                            "block of {} columns",
                            k % block ? kName : "k_total",
                            k % block ? k : kTotal, block));
  if (k > kTotal)
    params.fail("parameter 'k' exceeds 'k_total'");
  if (int64_t(blockBytes()) * (kTotal / block) * panels > (int64_t(1) << 30))
    params.fail("the panels of one call exceed 1 GiB");
}

LinearQShape::LinearQShape(const Params &params,
                           const QuantizedLayout &layout) {
  tokens = params.size("tokens", 1);
  residual = params.flag("residual");
  swiglu = params.flag("swiglu");
  bias = params.flag("bias");
  quads = params.flag("quads");
  outer = params.flag("outer");
  group = params.integer("group", 0, 0, 1024);
  if (group % activationBlock || (group && layout.k % group))
    params.fail(
        fmt::format("parameter 'group' is {}, expected a multiple of 32 "
                    "that divides the {} columns",
                    group, layout.k));
  pairs = params.flag("pairs");
  if (swiglu && layout.rows % 2)
    params.fail("parameter 'rows' is odd, expected gate and up rows in pairs");
  if (swiglu && residual)
    params.fail("parameters 'swiglu' and 'residual' exclude each other");
  out = swiglu ? layout.rows / 2 : layout.rows;
  columns = layout.panels * out;
  const int width = params.size("width", layout.k);
  if (width % activationBlock)
    params.fail("parameter 'width' must be a multiple of 32");
  xStride = params.size("x_stride_bytes",
                        width + int64_t(width) / activationBlock * 8);
  if (xStride % 4)
    params.fail("parameter 'x_stride_bytes' must be a multiple of 4");
  yStride = params.size("y_stride", columns);
  resStride = params.size("res_stride", yStride);
  tileRows = params.size("tile_rows", layout.rows);
  if (layout.rows % tileRows)
    params.fail(fmt::format("parameter 'tile_rows' is {}, expected a divisor "
                            "of the panel's {} rows",
                            tileRows, layout.rows));
  prefetch = params.integer("prefetch", 8192, 0, 1 << 20);
  lanes = params.integer("lanes", 0, 0, 16);
}

} // namespace lfmc::halide

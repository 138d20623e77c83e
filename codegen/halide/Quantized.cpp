// SPDX-License-Identifier: Apache-2.0
#include "codegen/halide/Quantized.h"

#include <fmt/format.h>

using namespace Halide;

namespace lfmc::halide {

QuantizedPanels::QuantizedPanels(const Params &params, const char *kName,
                                 bool totals) {
  wtype = params.integer("wtype", 4, 3, 4);
  block = params.integer("block", activationBlock, 1, 1 << 20);
  if (block != 32 && block != 64 && block != 128)
    params.fail(
        fmt::format("parameter 'block' is {}, expected 32, 64 or 128", block));
  // Sums of 16 bits hold half a block of products: four columns side by side,
  // in two such sums, are the least that works.
  depth = params.integer("depth", 4, 1, 16);
  if (depth != 4)
    params.fail(fmt::format("parameter 'depth' is {}, expected 4", depth));
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

  const int groups = block / depth / (isQ4() ? 2 : 1);
  // Codes start behind the scales of their block: the first dimension reaches
  // over those.
  codes = input("w", UInt(8),
                {{rows * 2 + depth, 1},
                 {rows, depth},
                 {groups, rows * depth},
                 {k / block, blockBytes()},
                 {panels, panelBytes()}});
  scales = input(
      "w_scales", Float(16),
      {{rows, 1}, {k / block, blockBytes() / 2}, {panels, panelBytes() / 2}});
}

Expr QuantizedPanels::byte(Expr j, Expr r, Expr i, Expr s, Expr panel) const {
  const int perBlock = block / activationBlock;
  const int groups = activationBlock / depth / (isQ4() ? 2 : 1);
  return codes(j + rows * 2, r, s % perBlock * groups + (isQ4() ? i / 2 : i),
               s / perBlock, panel);
}

Expr QuantizedPanels::scale(Expr r, Expr s, Expr panel) const {
  return cast<float>(scales(r, s / (block / activationBlock), panel));
}

} // namespace lfmc::halide

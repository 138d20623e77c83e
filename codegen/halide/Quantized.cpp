// SPDX-License-Identifier: Apache-2.0
#include "codegen/halide/Quantized.h"

using namespace Halide;

namespace lfmc::halide {

QuantizedPanels::QuantizedPanels(const Params &params, const char *kName,
                                 bool totals)
    : QuantizedLayout(params, kName, totals) {
  // Codes start behind the scales of their block: the first dimension reaches
  // over those.
  auto bytes = [&](const char *name, int start, int perByte) {
    return input(name, UInt(8),
                 {{start + depth, 1},
                  {rows, depth},
                  {block / depth / perByte, rows * depth},
                  {k / block, blockBytes()},
                  {panels, panelBytes()}});
  };
  codes = bytes("w", codesStart(), isQ8() ? 1 : 2);
  if (isQ6())
    top = bytes("w_top", topStart(), 4);
  scales = input("w_scales", Float(16),
                 {{codesStart() / 2, 1},
                  {k / block, blockBytes() / 2},
                  {panels, panelBytes() / 2}});
}

std::vector<Alias> QuantizedPanels::aliases() const {
  std::vector<Alias> all = {{scales, "w"}};
  if (isQ6())
    all.push_back({top, "w"});
  return all;
}

Expr QuantizedPanels::low(Expr j, Expr r, Expr i, Expr s, Expr panel) const {
  const int perBlock = block / activationBlock;
  const int perByte = isQ8() ? 1 : 2;
  const int groups = activationBlock / depth / perByte;
  const Expr byte =
      codes(j + codesStart(), r, s % perBlock * groups + i / perByte,
            s / perBlock, panel);
  if (isQ8())
    return byte;
  return select(i % 2 == 0, byte & cast<uint8_t>(15), byte >> cast<uint8_t>(4));
}

Expr QuantizedPanels::high(Expr j, Expr r, Expr i, Expr s, Expr panel) const {
  const int perBlock = block / activationBlock;
  const int groups = activationBlock / depth / 4;
  const Expr byte = top(j + topStart(), r, s % perBlock * groups + i / 4,
                        s / perBlock, panel);
  return (byte >> cast<uint8_t>(i % 4 * 2)) & cast<uint8_t>(3);
}

Expr QuantizedPanels::scale(Expr r, Expr s, Expr panel) const {
  return cast<float>(scales(r, s / (block / activationBlock), panel));
}

Expr QuantizedPanels::minimum(Expr r, Expr s, Expr panel) const {
  return cast<float>(scales(r + rows, s / (block / activationBlock), panel));
}

} // namespace lfmc::halide

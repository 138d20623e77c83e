// SPDX-License-Identifier: Apache-2.0
//
// Providers for mixtures of experts.
#include "targets/KernelParams.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

#include <algorithm>

using namespace mlir;

namespace lfmc {
namespace {

/// Rows of x that a chunk gathers take at most this much of a thread's stack:
/// with a panel they stay in L2.
constexpr int64_t gatherBytes = 128 << 10;

int64_t rowsOf(Value rows) {
  return cast<RankedTensorType>(rows.getType()).getDimSize(0);
}

} // namespace

std::optional<Kernel> route(Operation *op, const Target &) {
  auto route = dyn_cast<lfm2::RouteOp>(op);
  if (!route)
    return {};
  KernelParams params(op);
  params.add("experts", width(route.getLogits()))
      .add("x_stride", rowStride(route.getLogits()))
      .add("top_k", int64_t(route.getTopK()))
      .add("bias", int64_t(bool(route.getBias())))
      .add("normalize", int64_t(route.getNormalize()))
      .add("scaling", route.getScaling().convertToDouble());
  return params.kernel("route", 1, 8);
}

std::optional<Kernel> experts(Operation *op, const Target &target) {
  auto experts = dyn_cast<lfm2::ExpertsOp>(op);
  if (!experts || !stored(experts.getWeight()))
    return {};
  lfm2::StoredAttr encoding = stored(experts.getWeight());
  RankedTensorType x = experts.getX().getType();
  bool quantized = encoding.isQuantized();
  if (quantized != isa_and_nonnull<lfm2::QuantizedAttr>(x.getEncoding()) ||
      !(quantized || x.getElementType().isF32()))
    return {};
  bool swiglu = experts.isSwiglu(), one = rowsOf(experts.getX()) == 1;
  int64_t count = experts.getExperts(), topK = experts.getTopK();
  auto type = cast<RankedTensorType>(experts.getWeight().getType());
  int64_t n = type.getDimSize(0) / count, k = type.getDimSize(1);
  lfm2::StoredKind kind = encoding.getKind();
  bool bf16 = kind == lfm2::StoredKind::BF16;
  if (bf16 && k % 2)
    return {};
  LinearTile tile = quantized ? quantizedTile(target, kind) : floatTile(target);
  // A larger tile is one of quads (codegen/llvm/micro/ArmTile.h), which
  // gathered rows are not.
  if (tile.tokens > 64)
    tile.tokens = 4;
  auto layout = panelsOf(experts.getWeight(), n, swiglu, tile.rows,
                         quantized ? dotDepth : 1 + int64_t(bf16));
  // An expert begins with a panel.
  if (!layout || n % layout.getRows())
    return {};
  if (quantized)
    layout = quantizedPanels(op->getContext(), target, kind, layout.getRows(),
                             swiglu);
  int64_t rows = layout.getRows(), panels = n / rows;
  int64_t expertBytes = encoding.getBytes(n * k);
  KernelParams params(op);
  params.add("experts", count).add("top_k", topK).add("n", n).add("k", k);
  params.add("rows", rows).add("depth", layout.getDepth());
  params.add("wtype", int64_t(kind)).add("swiglu", int64_t(swiglu));
  params.addUnless(0, "raised", layout.getRaised());
  if (rows > tile.rows)
    params.add("tile_rows", dividingPowerOfTwo(rows, tile.rows));
  if (quantized)
    params.add("block", encoding.getBlock())
        .add("block_bytes", encoding.getBytes(encoding.getBlock()));
  else
    params.add("x_stride", rowStride(experts.getX()));
  params.add("residual", int64_t(bool(experts.getResidual())));
  if (experts.getResidual())
    params.add("res_stride", rowStride(experts.getResidual()));
  if (one) {
    // A chunk is some panels of one slot, or of all slots, whose sums are one:
    // at least 64 KiB of each stream.
    int64_t group = dividingPowerOfTwo(
        panels, std::max<int64_t>(1, tile.panels * tile.rows / rows));
    int64_t perChunk =
        group *
        std::max<int64_t>(1, (64 << 10) / (expertBytes / panels * group));
    int64_t pieces = llvm::divideCeil(panels, perChunk);
    params.add("tokens", int64_t(1)).add("panels", group);
    params.add("per_chunk", perChunk).add("pieces", pieces);
    return params.kernel("experts", swiglu ? topK * pieces : pieces, 0, layout);
  }
  auto function = op->getParentOfType<func::FuncOp>();
  auto most = function->getAttrOfType<IntegerAttr>("lfm2.max_tokens");
  if (!most)
    return {};
  // Gathering a row costs as much as multiplying it by 16 or so.
  int64_t perChunk = std::max<int64_t>(1, (swiglu ? 512 : 256) / rows);
  int64_t pieces = llvm::divideCeil(panels, perChunk);
  int64_t rowBytes = quantized ? k + k / 4 : k * 4;
  int64_t gathered = std::max<int64_t>(1, gatherBytes / rowBytes / tile.tokens);
  params.add("tokens", tile.tokens).add("max_tokens", most.getInt());
  params.add("gathered", gathered * tile.tokens);
  params.add("per_chunk", perChunk).add("pieces", pieces);
  return params.kernel("experts", swiglu ? count * pieces : pieces, 0, layout);
}

} // namespace lfmc

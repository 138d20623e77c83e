// SPDX-License-Identifier: Apache-2.0
//
// Providers for mixtures of experts.
#include "targets/KernelParams.h"

#include "runtime/include/lfm/program.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/Support/FormatVariadic.h"

#include <algorithm>

using namespace mlir;

namespace lfmc {
namespace {

/// Rows of a panel and of a tile, and how the panels of an expert are cut. Rows
/// of x that a chunk gathers take some of a thread's stack: with a panel they
/// stay in L2.
Space expertSpace(lfm2::ExpertsOp experts, const Target &target,
                  LinearTile tile, int64_t rows) {
  const int64_t count = experts.getExperts();
  auto type = cast<RankedTensorType>(experts.getWeight().getType());
  const int64_t n = type.getDimSize(0) / count, lanes = target.vectorLanes;
  lfm2::StoredAttr encoding = stored(experts.getWeight());
  const bool quantized = encoding.isQuantized(), swiglu = experts.isSwiglu();
  const bool tiles = quantized && (target.cpuFeatures & LFM_CPU_AMX_INT8);
  const int64_t half = swiglu ? 2 : 1;
  Space space;
  space.kernel = llvm::formatv("experts of={0} top={1} n={2} k={3} {4}{5}",
                               count, experts.getTopK(), n, type.getDimSize(1),
                               storedName(encoding), swiglu ? " swiglu" : "");
  std::vector<int64_t> panelRows;
  if (!tiles) // of fixed shape
    for (int64_t value : dividingMultiples(n / half, lanes, 4 * lanes))
      panelRows.push_back(value * half);
  space.add("rows", panelRows, rows, usedByBoth);
  addTileRows(space, target, rows, tile.rows, tile.rows);
  if (!quantized)
    space.add(
        "one.panels", {1, 2, 4},
        dividingPowerOfTwo(
            n / rows, std::max<int64_t>(1, tile.panels * tile.rows / rows)),
        usedByOne);
  space.add("one.chunk_kib", {16, 32, 64, 128, 256}, 64, usedByOne);
  const int64_t ahead = quantized ? 8192 : 4096;
  space.add("one.prefetch", {0, 2048, 4096, 8192, 16384}, ahead, usedByOne);
  space.add("many.tokens",
            tiles ? std::vector<int64_t>{16, 32, 64}
                  : std::vector<int64_t>{4, 6, 8, 12},
            tile.tokens, usedByMany);
  // Gathering a row costs as much as multiplying it by 16 or so.
  space.add("many.chunk_rows", {128, 256, 512, 1024}, swiglu ? 512 : 256,
            usedByMany);
  space.add("many.gather_kib", {32, 64, 128, 256}, 128, usedByMany);
  const bool widths = quantized && addDotLanes(space, target);
  space.allowed = [=](const Choice &c) {
    const int64_t dot = widths ? c.at("many.dot_lanes") : 0;
    const int64_t vectors = tileRows(c, false) / (dot ? dot : lanes);
    if (!wholeVectors(c) ||
        (!quantized && n / c.at("rows") % c.at("one.panels") != 0))
      return false;
    return tiles ||
           (c.at("many.tokens") * vectors <= target.vectorRegisters * 3 / 2 &&
            tileRows(c, true) / lanes <= target.vectorRegisters / 2);
  };
  return space;
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

std::optional<Kernel> experts(Operation *op, const Target &target,
                              const Tuner *tuner) {
  auto experts = dyn_cast<lfm2::ExpertsOp>(op);
  if (!experts || !stored(experts.getWeight()))
    return {};
  lfm2::StoredAttr encoding = stored(experts.getWeight());
  RankedTensorType x = experts.getX().getType();
  bool quantized = encoding.isQuantized();
  if (quantized != isa_and_nonnull<lfm2::QuantizedAttr>(x.getEncoding()) ||
      !(quantized || x.getElementType().isF32()))
    return {};
  bool swiglu = experts.isSwiglu(), one = isOneToken(op);
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
  Choice choice =
      chosenFor(experts.getWeight(),
                expertSpace(experts, target, tile, layout.getRows()), tuner);
  const int64_t rows = choice["rows"], panels = n / rows;
  layout = quantized
               ? quantizedPanels(op->getContext(), target, kind, rows, swiglu)
               : lfm2::PanelsAttr::get(op->getContext(), rows,
                                       layout.getDepth(), swiglu);
  int64_t expertBytes = encoding.getBytes(n * k);
  KernelParams params(op);
  params.add("experts", count).add("top_k", topK).add("n", n).add("k", k);
  params.add("rows", rows).add("depth", layout.getDepth());
  params.add("wtype", int64_t(kind)).add("swiglu", int64_t(swiglu));
  params.addUnless(0, "raised", layout.getRaised());
  params.addUnless(rows, "tile_rows", tileRows(choice, one));
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
    // some KiB of each stream.
    int64_t group = quantized ? 1 : choice["one.panels"];
    int64_t perChunk =
        group * std::max<int64_t>(1, (choice["one.chunk_kib"] << 10) /
                                         (expertBytes / panels * group));
    int64_t pieces = llvm::divideCeil(panels, perChunk);
    params.addUnless(quantized ? 8192 : 4096, "prefetch",
                     choice["one.prefetch"]);
    params.addUnless(0, "lanes", choice["one.dot_lanes"]);
    params.add("tokens", int64_t(1)).add("panels", group);
    params.add("per_chunk", perChunk).add("pieces", pieces);
    return params.kernel("experts", swiglu ? topK * pieces : pieces, 0, layout);
  }
  auto function = op->getParentOfType<func::FuncOp>();
  auto most = function->getAttrOfType<IntegerAttr>("lfm2.max_tokens");
  if (!most)
    return {};
  int64_t perChunk = std::max<int64_t>(1, choice["many.chunk_rows"] / rows);
  int64_t pieces = llvm::divideCeil(panels, perChunk);
  int64_t rowBytes = quantized ? k + k / 4 : k * 4;
  const int64_t tokens = choice["many.tokens"];
  int64_t gathered = std::max<int64_t>(1, (choice["many.gather_kib"] << 10) /
                                              rowBytes / tokens);
  params.addUnless(0, "lanes", choice["many.dot_lanes"]);
  params.add("tokens", tokens).add("max_tokens", most.getInt());
  params.add("gathered", gathered * tokens);
  params.add("per_chunk", perChunk).add("pieces", pieces);
  return params.kernel("experts", swiglu ? count * pieces : pieces, 0, layout);
}

} // namespace lfmc

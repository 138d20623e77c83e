// SPDX-License-Identifier: Apache-2.0
//
// Providers for quantized weights and activations.
#include "targets/KernelParams.h"
#include "targets/PromptForm.h"

#include "runtime/include/lfm/program.h"

#include "llvm/Support/FormatVariadic.h"

#include <algorithm>

using namespace mlir;

namespace lfmc {
namespace {

/// Register tile of the many-token kernel; one token reads the same panels.
struct Tile {
  int64_t vectors; ///< of rows, in a panel
  int64_t tokens;
};

/// Tokens of a chunk of rows that are quantized: a quad at least.
constexpr int64_t quantizeChunk = 4;

/// What the unpacked codes of a block (8 registers a vector of rows, 16 where
/// 8-bit codes are multiplied in halves) leave of the registers. With VNNI two
/// vectors share the loads of x, which else are the limit: 0.77 of the peak
/// against 0.70; without it they spill. Measured: benchmarks/kernels.
Tile tileOf(const Target &target, lfm2::StoredKind kind) {
  // Four vectors share the loads of x; 16 of 32 registers hold sums.
  if (target.cpuFeatures & LFM_CPU_ARM_I8MM)
    return {matrixRows / 4, 128};
  if (target.cpuFeatures & LFM_CPU_ARM_DOTPROD)
    return {4, 4};
  // The sums of four tokens, twice, and the codes fill 32 registers.
  if (target.cpuFeatures & LFM_CPU_HVX)
    return {2, 4};
  // The more tokens, the cheaper is unpacking; their sums stay in L1.
  if (target.cpuFeatures & LFM_CPU_AMX_INT8)
    return {1, 64};
  // The sums alone fill the registers: 16 have no room for unpacking 6 bits.
  if (target.cpuFeatures & LFM_CPU_AVX_VNNI)
    return {2, kind == lfm2::StoredKind::Q6 ? 4 : 6};
  if (target.cpuFeatures & LFM_CPU_AVX512_ICELAKE)
    return {2, 6};
  if (target.vectorRegisters >= 32)
    return {1, 8};
  return {1, target.vectorLanes >= 8 ? 12 : 4};
}

/// Rows of a panel whose tile of short steps has `most`: two vectors share the
/// loads of x where weights are rewritten for pairs.
int64_t panelMost(lfm2::LinearOp linear, const Target &target, int64_t most) {
  return inPairs(linear, target) ? std::max(most, 2 * target.vectorLanes)
                                 : most;
}

/// Rows of a panel and tokens of a tile are the registers; chunks and blocks of
/// tokens the caches; distances how far ahead weights are asked for.
Space linearSpace(lfm2::LinearOp linear, const Target &target, Tile tile,
                  int64_t rows, int64_t most) {
  auto type = cast<RankedTensorType>(linear.getWeight().getType());
  int64_t n = type.getDimSize(0), lanes = target.vectorLanes;
  int64_t half = linear.getActivation() == lfm2::Activation::Swiglu ? 2 : 1;
  const bool tiles = target.cpuFeatures & LFM_CPU_AMX_INT8; // of fixed shape
  const bool quads = target.cpuFeatures & LFM_CPU_ARM_I8MM;
  // Alike for both phases, which share the weight.
  const bool outer = (target.cpuFeatures & LFM_CPU_ARM_SME) &&
                     wideGroup(linear, target) && rows == matrixRows;
  std::vector<int64_t> panelRows;
  if (!tiles && !outer)
    for (int64_t value :
         dividingMultiples(n / half, lanes / half, 4 * lanes / half))
      panelRows.push_back(value * half);
  Space space;
  space.kernel = linearName(linear);
  space.add("rows", panelRows, rows, usedByBoth);
  // Where weights are rewritten, the rest is for short steps only.
  const bool pairs = inPairs(linear, target);
  const bool grouped = target.isX86() && wideGroup(linear, target);
  const bool wide = grouped || pairs;
  // Short steps have no registers for panels of two vectors.
  addTileRows(space, target, rows, panelMost(linear, target, most), most);
  space.add("one.chunk_kib", {16, 32, 64, 128, 256}, 64, usedByOne);
  space.add("one.prefetch", {0, 2048, 4096, 8192, 16384, 32768}, 8192,
            usedByOne);
  const bool widths = addDotLanes(space, target, !wide);
  auto unlessWide = [&](std::vector<int64_t> values) {
    return wide ? std::vector<int64_t>() : values;
  };
  space.add("many.tokens",
            tiles   ? std::vector<int64_t>{32, 64, 128}
            : quads ? std::vector<int64_t>{16, 32, 64, 128, 256}
                    : unlessWide({4, 6, 8, 10, 12, 16, 24}),
            tile.tokens, usedByMany);
  space.add("many.cache_kib",
            unlessWide({target.l2Bytes >> 13, target.l2Bytes >> 12,
                        target.l2Bytes >> 11, target.l2Bytes >> 10}),
            target.l2Bytes >> 11, usedByMany);
  // One rewritten panel of many tokens takes long enough for a ticket.
  space.add("many.chunk_rows", {32, 64, 128, 256, 512}, wide ? 64 : 128,
            usedByMany);
  if (grouped) // as many sums as the registers hold
    space.add("many.wide_tokens",
              pairs ? std::vector<int64_t>{12, 24, 48}
              : target.vectorRegisters >= 32
                  ? std::vector<int64_t>{6, 8, 10, 12}
                  : std::vector<int64_t>{3, 4, 5, 6},
              pairs                          ? 24
              : target.vectorRegisters >= 32 ? 12
                                             : 6,
              usedByMany);
  if (pairs)
    space.add("many.wide_rows", {lanes, 2 * lanes}, std::min(rows, 2 * lanes),
              usedByMany);
  space.add("many.prefetch", unlessWide({0, 2048, 8192}), 8192, usedByMany);
  if (widths && wide)
    space.add("many.wide_lanes", {8, 16}, 16, usedByMany);
  space.allowed = [=](const Choice &c) {
    const int64_t rows = c.at("rows");
    if (!wholeVectors(c))
      return false;
    // codegen/llvm/micro/ArmMatrix.cpp takes whole panels of up to four
    // vectors.
    if (quads)
      return rows <= matrixRows && c.at("many.tile_rows") >= rows;
    const int64_t tile = tileRows(c, false);
    if (pairs)
      return true;
    if (wide) {
      const int64_t by = widths ? c.at("many.wide_lanes") : lanes;
      return c.at("many.wide_tokens") * tile <= by * target.vectorRegisters;
    }
    const int64_t dot = widths ? c.at("many.dot_lanes") : 0;
    const int64_t vectors = tile / (dot ? dot : lanes);
    // Sums that are far more than the registers only ever lose, but for those
    // that lie in memory.
    return tiles ||
           c.at("many.tokens") * vectors <= target.vectorRegisters * 3 / 2;
  };
  return space;
}

} // namespace

bool addDotLanes(Space &space, const Target &target, bool many) {
  if (target.vectorLanes != 16 ||
      !(target.cpuFeatures & LFM_CPU_AVX512_ICELAKE) ||
      (target.cpuFeatures & LFM_CPU_AMX_INT8))
    return false;
  space.add("one.dot_lanes", {8, 16}, 0, usedByOne);
  if (many)
    space.add("many.dot_lanes", {8, 16}, 0, usedByMany);
  return true;
}

bool wholeVectors(const Choice &choice) {
  return llvm::all_of(choice, [&](const auto &value) {
    const auto &[name, lanes] = value;
    return !StringRef(name).ends_with("_lanes") || !lanes ||
           tileRows(choice, StringRef(name).starts_with("one.")) % lanes == 0;
  });
}

lfm2::PanelsAttr quantizedPanels(MLIRContext *context, const Target &target,
                                 lfm2::StoredKind kind, int64_t rows,
                                 bool halves) {
  // vrmpy multiplies unsigned codes by signed activations
  // (codegen/llvm/micro/HvxTile.cpp).
  const bool raised = (target.cpuFeatures & LFM_CPU_HVX) &&
                      kind == lfm2::StoredKind::Q8 &&
                      (rows == 32 || rows == 64);
  return lfm2::PanelsAttr::get(context, rows, dotDepth, halves, raised);
}

LinearTile quantizedTile(const Target &target, lfm2::StoredKind kind) {
  Tile tile = tileOf(target, kind);
  return {tile.vectors * target.vectorLanes, tile.tokens, 1};
}

std::optional<Kernel> linearQuantized(Operation *op, const Target &target,
                                      const Tuner *tuner) {
  auto linear = dyn_cast<lfm2::LinearOp>(op);
  if (!linear || !stored(linear.getWeight()) ||
      !isa_and_nonnull<lfm2::QuantizedAttr>(
          linear.getX().getType().getEncoding()))
    return {};
  lfm2::StoredAttr encoding = stored(linear.getWeight());
  auto type = cast<RankedTensorType>(linear.getWeight().getType());
  int64_t n = type.getDimSize(0), k = type.getDimSize(1);
  bool swiglu = linear.getActivation() == lfm2::Activation::Swiglu;
  if (swiglu && linear.getBias())
    return {};
  Tile tile = tileOf(target, encoding.getKind());
  int64_t most = tile.vectors * target.vectorLanes;
  auto layout = panelsOf(linear.getWeight(), n, swiglu,
                         panelMost(linear, target, most), dotDepth);
  if (!layout)
    return {};
  int64_t rows = layout.getRows();
  bool one = isOneToken(op);
  Choice choice = chosenFor(
      linear.getWeight(), linearSpace(linear, target, tile, rows, most), tuner);
  rows = choice["rows"];
  layout = quantizedPanels(op->getContext(), target, encoding.getKind(), rows,
                           swiglu);
  KernelParams params(op);
  params.add("n", n).add("k", k).add("rows", rows).add("depth", dotDepth);
  params.addUnless(0, "raised", layout.getRaised());
  params.addUnless(rows, "tile_rows", tileRows(choice, one));
  params.add("wtype", int64_t(encoding.getKind()))
      .add("block_bytes", encoding.getBytes(encoding.getBlock()));
  params.add("block", encoding.getBlock()).add("swiglu", int64_t(swiglu));
  params.add("bias", int64_t(bool(linear.getBias())));
  params.add("residual", int64_t(bool(linear.getResidual())));
  if (linear.getResidual())
    params.add("res_stride", rowStride(linear.getResidual()));
  int64_t panels = n / rows;
  if (one) {
    // Chunks of at least 64 KiB, so that a ticket costs nothing beside them.
    int64_t bytes = encoding.getBytes(rows * k);
    int64_t perChunk =
        std::max<int64_t>(1, (choice["one.chunk_kib"] << 10) / bytes);
    params.addUnless(8192, "prefetch", choice["one.prefetch"]);
    params.addUnless(0, "lanes", choice["one.dot_lanes"]);
    params.add("tokens", int64_t(1)).add("panels", int64_t(1));
    params.add("per_chunk", perChunk).add("chunk_bytes", perChunk * bytes);
    return params.kernel("linear", llvm::divideCeil(panels, perChunk), 0,
                         layout);
  }
  // A block of tokens stays in half of L2 while the panels of a chunk pass; a
  // panel passes all of the block before the next one.
  int64_t tokens = choice["many.tokens"];
  int64_t block =
      (choice["many.cache_kib"] << 10) / (k + k / 4); // lfm2.quantized
  block = std::max<int64_t>(1, block / tokens) * tokens;
  int64_t perChunk = std::max<int64_t>(1, choice["many.chunk_rows"] / rows);
  params.addUnless(8192, "prefetch", choice["many.prefetch"]);
  params.addUnless(0, "lanes", choice["many.dot_lanes"]);
  if (inQuads(linear.getX(), target))
    params.add("quads", int64_t(1));
  const int64_t group = groupOf(linear.getX(), target);
  if (inPairs(linear, target)) {
    const bool limited = encoding.getKind() == lfm2::StoredKind::Q8;
    const int64_t tile = pairTile(encoding.getKind(), target);
    params.add("pairs", int64_t(1))
        .add("pairs_from", limited ? wideFrom : pairsFrom)
        .add("pair_tile", tile)
        .add("pair_tokens", 4 * tile)
        .add("wide_rows", std::min(rows, choice["many.wide_rows"]));
    params.addUnless(0, "limited", limited);
  }
  if (group) {
    params.add("group", group).add("wide_from", wideFrom);
    if (inSixteens(linear.getX(), target))
      params.add("outer", int64_t(1));
    if (target.isX86())
      params.add("wide_tokens", choice["many.wide_tokens"])
          .add("wide_columns", wideColumns(k, group, swiglu));
    if (auto it = choice.find("many.wide_lanes"); it != choice.end())
      params.addUnless(target.vectorLanes, "wide_lanes", it->second);
  }
  params.add("tokens", tokens).add("k_block", k);
  params.add("token_block", block).add("per_chunk", perChunk);
  return params.kernel("linear", llvm::divideCeil(panels, perChunk), 0, layout);
}

/// Values of a vector on the way to codes, and tokens of a chunk.
static Space quantizeSpace(lfm2::QuantizeOp quantize, bool quads, int64_t group,
                           bool limited) {
  std::string name =
      llvm::formatv("quantize width={0}", width(quantize.getX()));
  if (quantize.getNorm())
    name += " norm";
  if (quads)
    name += " quads";
  if (limited)
    name += " limited";
  if (group)
    name += llvm::formatv(" group={0}", group);
  Space space = rowSpace(name, quantizeChunk, quads ? 4 : 1);
  space.add("one.vector", {8, 16}, 32, usedByOne);
  space.add("many.vector", {8, 16}, 32, usedByMany);
  return space;
}

std::optional<Kernel> quantizeRows(Operation *op, const Target &target,
                                   const Tuner *tuner) {
  auto quantize = dyn_cast<lfm2::QuantizeOp>(op);
  if (!quantize)
    return {};
  const bool rounded = quantize.getResult().getType().getElementType().isBF16();
  const bool quads = inQuads(quantize.getResult(), target);
  const int64_t group = groupOf(quantize.getResult(), target);
  const bool limited = limitedRows(quantize.getResult(), target);
  // Rows of bf16 have no space, like the linears that read them.
  Choice choice = choose(rounded ? nullptr : tuner,
                         quantizeSpace(quantize, quads, group, limited));
  KernelParams params(op);
  params.add("width", width(quantize.getX()))
      .add("x_stride", rowStride(quantize.getX()))
      .add("norm", int64_t(bool(quantize.getNorm())))
      .add("rounded", int64_t(rounded));
  if (quads)
    params.add("quads", int64_t(1));
  if (group || limited)
    params.add("wide_from", wideFrom);
  if (group)
    params.add("group", group);
  if (group && inPairs(target))
    params.add("raised", int64_t(1));
  params.addUnless(0, "limited", limited);
  if (inSixteens(quantize.getResult(), target))
    params.add("outer", int64_t(1));
  if (quantize.getEps())
    params.add("eps", quantize.getEps()->convertToDouble());
  params.addUnless(32, "vector",
                   choice[isOneToken(op) ? "one.vector" : "many.vector"]);
  return rowKernel(params, op, choice, quantizeChunk);
}

} // namespace lfmc

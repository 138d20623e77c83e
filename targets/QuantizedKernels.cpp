// SPDX-License-Identifier: Apache-2.0
//
// Providers for quantized weights and activations.
#include "targets/KernelParams.h"

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

int64_t panelRows(int64_t n, int64_t most, bool swiglu) {
  return swiglu ? 2 * dividingPowerOfTwo(n / 2, most / 2)
                : dividingPowerOfTwo(n, most);
}

/// Rows of the panels that smmla reads: with four, sums of 2 x 2 fill half of
/// the registers.
constexpr int64_t matrixRows = 16;

/// A parameter of the kernel that is called; 0 if it has none such.
int64_t parameterOf(kernel::CallOp call, StringRef name) {
  auto decl = SymbolTable::lookupNearestSymbolFrom<kernel::DeclOp>(
      call, call.getCalleeAttr());
  auto value = decl ? decl.getParams().getAs<IntegerAttr>(name) : nullptr;
  return value ? value.getInt() : 0;
}

/// Whether the quantized rows `x` of a prompt lie in quads: its linears then
/// multiply four tokens together, by smmla. All readers must be able to.
bool inQuads(Value x, const Target &target) {
  if (!(target.cpuFeatures & LFM_CPU_ARM_I8MM) ||
      cast<RankedTensorType>(x.getType()).getDimSize(0) == 1 ||
      !isa_and_nonnull<lfm2::QuantizedAttr>(
          cast<RankedTensorType>(x.getType()).getEncoding()))
    return false;
  // Rewritten already, before its users.
  if (auto call = x.getDefiningOp<kernel::CallOp>())
    return parameterOf(call, "quads");
  return llvm::all_of(x.getUsers(), [](Operation *user) {
    auto linear = dyn_cast<lfm2::LinearOp>(user);
    return linear &&
           panelRows(cast<RankedTensorType>(linear.getWeight().getType())
                         .getDimSize(0),
                     matrixRows,
                     linear.getActivation() == lfm2::Activation::Swiglu) %
                   4 ==
               0;
  });
}

/// Tokens of a chunk of rows that are quantized: a quad at least.
constexpr int64_t quantizeChunk = 4;

/// Tokens of a step from which it pays to rewrite weights.
constexpr int64_t wideFrom = 32;

/// Whether weights rewritten for prompts are multiplied in pairs of 16 bits
/// (codegen/llvm/micro/PairPanel.cpp).
bool inPairs(const Target &target) {
  return target.isX86() && target.vectorLanes >= 8 &&
         !(target.cpuFeatures & (LFM_CPU_AVX_VNNI | LFM_CPU_AVX512_ICELAKE));
}

/// Columns that share a scale in the products of prompts, for which the weight
/// is rewritten (codegen/llvm/micro/WidePanel.cpp, PairPanel.cpp, ArmWide.cpp),
/// if rows of such scales are given; 0: never. q4 only: other formats are
/// chosen for their precision.
int64_t wideGroup(lfm2::LinearOp linear, const Target &target) {
  auto type = cast<RankedTensorType>(linear.getWeight().getType());
  const int64_t n = type.getDimSize(0), k = type.getDimSize(1);
  lfm2::StoredAttr weight = stored(linear.getWeight());
  const uint32_t able =
      LFM_CPU_AVX_VNNI | LFM_CPU_AVX512_ICELAKE | LFM_CPU_ARM_I8MM;
  if (!(inPairs(target) || (target.cpuFeatures & able)) ||
      (target.cpuFeatures & LFM_CPU_AMX_INT8) || !weight ||
      weight.getKind() != lfm2::StoredKind::Q4 || n % target.vectorLanes ||
      (weight.getLayout() && weight.getLayout().getRows() % target.vectorLanes))
    return 0;
  return k % 256 == 0 ? 256 : k % 128 == 0 ? 128 : 0;
}

/// The group of the quantized rows `x` of a prompt: all readers must want it,
/// and on Arm take quads.
int64_t groupOf(Value x, const Target &target) {
  if (cast<RankedTensorType>(x.getType()).getDimSize(0) == 1)
    return 0;
  if (auto call = x.getDefiningOp<kernel::CallOp>()) // rewritten already
    return parameterOf(call, "group");
  if (target.isArm64() && !inQuads(x, target))
    return 0;
  int64_t group = 0;
  for (Operation *user : x.getUsers()) {
    auto linear = dyn_cast<lfm2::LinearOp>(user);
    group = linear ? wideGroup(linear, target) : 0;
    if (!group)
      return 0;
  }
  return group;
}

/// Whether long prompts' rows `x` lie in sixteens, and its linears multiply
/// panels of 16 rows by outer products (codegen/llvm/micro/ArmOuter.cpp).
bool inSixteens(Value x, const Target &target) {
  if (!(target.cpuFeatures & LFM_CPU_ARM_SME) || !groupOf(x, target))
    return false;
  if (auto call = x.getDefiningOp<kernel::CallOp>()) // rewritten already
    return parameterOf(call, "outer");
  return llvm::all_of(x.getUsers(), [](Operation *user) {
    auto linear = cast<lfm2::LinearOp>(user);
    lfm2::PanelsAttr layout = stored(linear.getWeight()).getLayout();
    const int64_t rows = panelRows(
        cast<RankedTensorType>(linear.getWeight().getType()).getDimSize(0),
        matrixRows, linear.getActivation() == lfm2::Activation::Swiglu);
    return (layout ? layout.getRows() : rows) == matrixRows;
  });
}

/// Columns of a panel that are rewritten at a time, in a buffer on the stack;
/// gates and ups need their whole sums.
int64_t wideColumns(int64_t k, int64_t group, bool swiglu) {
  const int64_t pieces = swiglu ? 1 : llvm::divideCeil(k, 6144);
  return llvm::alignTo(llvm::divideCeil(k, pieces), group);
}

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
  return inPairs(target) && wideGroup(linear, target)
             ? std::max(most, 2 * target.vectorLanes)
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
  const bool wide = target.isX86() && wideGroup(linear, target);
  const bool pairs = wide && inPairs(target);
  // Short steps have no registers for panels of two vectors.
  addTileRows(space, target, rows,
              pairs ? panelMost(linear, target, most) : most, most);
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
  if (wide) // as many sums as the registers hold
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
  if (int64_t group = groupOf(linear.getX(), target)) {
    params.add("group", group).add("wide_from", wideFrom);
    if (inSixteens(linear.getX(), target))
      params.add("outer", int64_t(1));
    if (target.isX86())
      params.add("wide_tokens", choice["many.wide_tokens"])
          .add("wide_columns", wideColumns(k, group, swiglu));
    if (auto it = choice.find("many.wide_rows"); it != choice.end())
      params.add("pairs", int64_t(1))
          .add("wide_rows", std::min(rows, it->second));
    if (auto it = choice.find("many.wide_lanes"); it != choice.end())
      params.addUnless(target.vectorLanes, "wide_lanes", it->second);
  }
  params.add("tokens", tokens).add("k_block", k);
  params.add("token_block", block).add("per_chunk", perChunk);
  return params.kernel("linear", llvm::divideCeil(panels, perChunk), 0, layout);
}

/// Values of a vector on the way to codes, and tokens of a chunk.
static Space quantizeSpace(lfm2::QuantizeOp quantize, bool quads,
                           int64_t group) {
  std::string name =
      llvm::formatv("quantize width={0}", width(quantize.getX()));
  if (quantize.getNorm())
    name += " norm";
  if (quads)
    name += " quads";
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
  // Rows of bf16 have no space, like the linears that read them.
  Choice choice =
      choose(rounded ? nullptr : tuner, quantizeSpace(quantize, quads, group));
  KernelParams params(op);
  params.add("width", width(quantize.getX()))
      .add("x_stride", rowStride(quantize.getX()))
      .add("norm", int64_t(bool(quantize.getNorm())))
      .add("rounded", int64_t(rounded));
  if (quads)
    params.add("quads", int64_t(1));
  if (group)
    params.add("group", group).add("wide_from", wideFrom);
  if (group && inPairs(target))
    params.add("raised", int64_t(1));
  if (inSixteens(quantize.getResult(), target))
    params.add("outer", int64_t(1));
  if (quantize.getEps())
    params.add("eps", quantize.getEps()->convertToDouble());
  params.addUnless(32, "vector",
                   choice[isOneToken(op) ? "one.vector" : "many.vector"]);
  return rowKernel(params, op, choice, quantizeChunk);
}

} // namespace lfmc

// SPDX-License-Identifier: Apache-2.0
#include "targets/KernelParams.h"

#include "runtime/include/lfm/program.h"

#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "llvm/Support/FormatVariadic.h"

#include <algorithm>

using namespace mlir;

namespace lfmc {

int64_t rowStride(Value rows) {
  if (auto slice = rows.getDefiningOp<tensor::ExtractSliceOp>())
    return slice.getSourceType().getDimSize(1);
  return cast<RankedTensorType>(rows.getType()).getDimSize(1);
}

lfm2::PanelsAttr panelsOf(Value weight, int64_t n, bool swiglu, int64_t most,
                          int64_t depth) {
  if (lfm2::PanelsAttr chosen = stored(weight).getLayout())
    return chosen.getDepth() == depth && chosen.getHalves() == swiglu ? chosen
                                                                      : nullptr;
  int64_t rows = swiglu ? 2 * dividingPowerOfTwo(n / 2, most / 2)
                        : dividingPowerOfTwo(n, most);
  return lfm2::PanelsAttr::get(weight.getContext(), rows, depth, swiglu);
}

std::string linearName(lfm2::LinearOp linear) {
  auto type = cast<RankedTensorType>(linear.getWeight().getType());
  lfm2::StoredAttr encoding = stored(linear.getWeight());
  std::string name = llvm::formatv("linear n={0} k={1} {2}", type.getDimSize(0),
                                   type.getDimSize(1), storedName(encoding));
  if (linear.getActivation() == lfm2::Activation::Swiglu)
    name += " swiglu";
  if (linear.getBias())
    name += " bias";
  return name;
}

void addTileRows(Space &space, const Target &target, int64_t rows, int64_t one,
                 int64_t many) {
  std::vector<int64_t> values;
  for (int64_t vectors : {1, 2, 4})
    values.push_back(vectors * target.vectorLanes);
  auto preset = [&](int64_t most) {
    return rows > most ? dividingPowerOfTwo(rows, most) : rows;
  };
  space.add("one.tile_rows", values, preset(one), usedByOne);
  space.add("many.tile_rows", values, preset(many), usedByMany);
}

int64_t tileRows(const Choice &choice, bool one) {
  return std::min(choice.at("rows"),
                  choice.at(one ? "one.tile_rows" : "many.tile_rows"));
}

Choice chosenFor(Value weight, const Space &space, const Tuner *tuner) {
  Choice choice = choose(tuner, space);
  lfm2::PanelsAttr given = stored(weight).getLayout();
  return !given || given.getRows() == choice["rows"] ? choice : space.preset();
}

LinearTile floatTile(const Target &target) {
  // Floats of weights in f32 are scalars there.
  if (target.cpuFeatures & LFM_CPU_HVX)
    return {4, 4, 1};
  // Accumulators fill the registers but for the weights of one column and a
  // broadcast: 4 × 6 of 32 registers, 2 × 6 of 16, 2 × 4 of 16 where a product
  // needs one of its own (no FMA). Measured: benchmarks/kernels.
  if (target.vectorRegisters >= 32)
    return {4 * target.vectorLanes, 6, 1};
  if (target.vectorLanes >= 8)
    return {2 * target.vectorLanes, 6, 4};
  return {2 * target.vectorLanes, 4, 1};
}

namespace {

/// Rows of a panel, the registers of both kernels, and how far ahead each
/// reads.
Space linearSpace(lfm2::LinearOp linear, const Target &target, LinearTile tile,
                  int64_t rows, int64_t kBlock) {
  auto type = cast<RankedTensorType>(linear.getWeight().getType());
  int64_t n = type.getDimSize(0), k = type.getDimSize(1);
  bool swiglu = linear.getActivation() == lfm2::Activation::Swiglu;
  int64_t half = swiglu ? 2 : 1;
  Space space;
  space.kernel = linearName(linear);
  std::vector<int64_t> panelRows =
      dividingMultiples(n / half, target.vectorLanes, 4 * target.vectorLanes);
  for (int64_t &value : panelRows)
    value *= half;
  space.add("rows", panelRows, rows, usedByBoth);
  addTileRows(space, target, rows, tile.rows, tile.rows);
  space.add("one.panels", {1, 2, 4},
            dividingPowerOfTwo(
                n / rows, std::max<int64_t>(1, tile.panels * tile.rows / rows)),
            usedByOne);
  space.add("one.chunk_kib", {16, 32, 64, 128, 256}, 64, usedByOne);
  space.add("one.prefetch", {0, 2048, 4096, 8192, 16384}, 4096, usedByOne);
  space.add("many.tokens", {4, 6, 8, 12}, tile.tokens, usedByMany);
  std::vector<int64_t> blocks;
  if (!swiglu)
    for (int64_t parts : {1, 2, 4, 8})
      if (k / parts >= 64)
        blocks.push_back(llvm::alignTo(llvm::divideCeil(k, parts), 2));
  space.add("many.k_block", blocks, kBlock, usedByMany);
  space.add("many.prefetch", {0, 4096}, 0, usedByMany);
  const int64_t registers = target.vectorRegisters, lanes = target.vectorLanes;
  space.allowed = [=](const Choice &c) {
    // Sums, weights of a column and a broadcast in registers, or nearly so.
    const int64_t tile = std::min(c.at("rows"), c.at("many.tile_rows"));
    const int64_t one = std::min(c.at("rows"), c.at("one.tile_rows"));
    return c.at("many.tokens") * tile / lanes <= registers * 5 / 4 &&
           c.at("one.panels") * one / lanes <= registers / 2 &&
           n / c.at("rows") % c.at("one.panels") == 0;
  };
  return space;
}

std::optional<Kernel> linear(Operation *op, const Target &target,
                             const Tuner *tuner) {
  auto linear = dyn_cast<lfm2::LinearOp>(op);
  if (!linear || linear.getNorm() || !stored(linear.getWeight()) ||
      stored(linear.getWeight()).isQuantized())
    return {};
  auto type = cast<RankedTensorType>(linear.getWeight().getType());
  int64_t n = type.getDimSize(0), k = type.getDimSize(1);
  bool swiglu = linear.getActivation() == lfm2::Activation::Swiglu;
  if (swiglu && linear.getBias())
    return {};
  lfm2::StoredKind kind = stored(linear.getWeight()).getKind();
  int64_t depth = kind == lfm2::StoredKind::BF16 && k % 2 == 0 ? 2 : 1;
  if (kind == lfm2::StoredKind::BF16 && depth == 1)
    return {};
  LinearTile tile = floatTile(target);
  auto layout = panelsOf(linear.getWeight(), n, swiglu, tile.rows, depth);
  if (!layout)
    return {};
  int64_t rows = layout.getRows();
  bool rounded = linear.getX().getType().getElementType().isBF16();
  if (rounded && kind != lfm2::StoredKind::BF16)
    return {};
  bool dot = rounded && (target.cpuFeatures & LFM_CPU_AVX512_BF16);
  // A column block of x's tile stays in half of L1, a panel's in half of L2.
  int64_t elementBytes = kind == lfm2::StoredKind::F32 ? 4 : 2;
  int64_t kBlock = swiglu
                       ? k
                       : std::min<int64_t>(
                             target.l1Bytes / (tile.tokens * (rounded ? 2 : 4)),
                             target.l2Bytes / 2 / (rows * elementBytes));
  int64_t blocks = llvm::divideCeil(k, std::max<int64_t>(kBlock, 64));
  kBlock = llvm::alignTo(llvm::divideCeil(k, blocks), 2);
  // Rows of bf16 have kernels of their own, without a space.
  Choice choice = chosenFor(linear.getWeight(),
                            linearSpace(linear, target, tile, rows, kBlock),
                            rounded ? nullptr : tuner);
  rows = choice["rows"];
  layout = lfm2::PanelsAttr::get(op->getContext(), rows, depth, swiglu);

  bool one = isOneToken(op);
  KernelParams params(op);
  params.add("n", n).add("k", k).add("rows", rows).add("depth", depth);
  params.add("wtype", int64_t(kind)).add("swiglu", int64_t(swiglu));
  params.add("x_stride", rowStride(linear.getX()));
  params.add("xtype", int64_t(rounded)).add("dot", int64_t(dot));
  params.add("bias", int64_t(bool(linear.getBias())));
  params.add("residual", int64_t(bool(linear.getResidual())));
  if (linear.getResidual())
    params.add("res_stride", rowStride(linear.getResidual()));
  params.addUnless(rows, "tile_rows", tileRows(choice, one));
  int64_t panels = n / rows;
  if (one) {
    // Chunks of at least 64 KiB, so that a ticket costs nothing beside them.
    int64_t group = choice["one.panels"];
    int64_t bytes = group * rows * k * elementBytes;
    int64_t perChunk =
        group * std::max<int64_t>(1, (choice["one.chunk_kib"] << 10) / bytes);
    params.addUnless(4096, "prefetch", choice["one.prefetch"]);
    params.add("tokens", int64_t(1))
        .add("panels", group)
        .add("per_chunk", perChunk)
        .add("chunk_bytes", perChunk / group * bytes);
    return params.kernel("linear", llvm::divideCeil(panels, perChunk), 0,
                         layout);
  }
  params.addUnless(0, "prefetch", choice["many.prefetch"]);
  params.add("tokens", choice["many.tokens"])
      .add("k_block", choice["many.k_block"])
      .add("per_chunk", int64_t(1));
  return params.kernel("linear", panels, 0, layout);
}

} // namespace

std::optional<Kernel> kernelFor(Operation *op, const Target &target,
                                const Tuner *tuner) {
  for (const KernelProvider &provider : kernelProviders(target))
    if (std::optional<Kernel> kernel = provider(op, target, tuner))
      return kernel;
  return {};
}

ArrayRef<KernelProvider> kernelProviders(const Target &) {
  static const KernelProvider providers[] = {
      linear,       linearQuantized, route,     experts,   embed,  rmsNorm,
      quantizeRows, shortConv,       ropeCache, attention, swiglu, add};
  return providers;
}

} // namespace lfmc

// SPDX-License-Identifier: Apache-2.0
//
// Providers for the caches and for attention over them.
#include "targets/KernelParams.h"

#include "llvm/Support/FormatVariadic.h"

using namespace mlir;

namespace lfmc {
namespace {

/// Positions of a step of attention over quantized caches, and of many tokens.
constexpr int64_t cacheBlock = 64;

bool cacheFits(RankedTensorType type) {
  auto quantized =
      dyn_cast_or_null<lfm2::QuantizedCacheAttr>(type.getEncoding());
  return quantized ? quantized.getPositions() == cacheBlock
                   : type.getDimSize(0) % cacheBlock == 0;
}

int64_t cacheKind(RankedTensorType type) {
  return int64_t(type.getEncoding()              ? lfm2::StoredKind::Q8
                 : type.getElementType().isF16() ? lfm2::StoredKind::F16
                                                 : lfm2::StoredKind::F32);
}

StringRef cacheName(RankedTensorType type) {
  return lfm2::stringifyStoredKind(lfm2::StoredKind(cacheKind(type)));
}

/// Registers that both products of a step may use, and how a call is cut: one
/// token by positions, so that threads share long contexts evenly however few
/// heads there are; many by rows (tokens times the query heads of a cache
/// head), whose scores stay in L1. Cuts are fixed when a program is compiled:
/// its numbers do not depend on the threads.
Space attentionSpace(lfm2::AttentionOp attention, const Target &target) {
  auto cache = cast<RankedTensorType>(attention.getKCache().getType());
  const int64_t heads = width(attention.getQ()) / cache.getDimSize(2);
  Space space;
  space.kernel =
      llvm::formatv("attention heads={0} kv={1} dim={2} {3}", heads,
                    cache.getDimSize(1), cache.getDimSize(2), cacheName(cache));
  if (attention.getWindow())
    space.kernel += llvm::formatv(" window={0}", *attention.getWindow());
  const int64_t all = target.vectorRegisters;
  const std::vector<int64_t> registers = {all / 2, all * 3 / 4, all,
                                          all * 3 / 2};
  // A head's keys and values of a piece take some microseconds to read.
  space.add("one.piece", {256, 512, 1024, 2048}, 512, usedByOne);
  space.add("one.block", {64, 128, 256}, 128, usedByOne);
  space.add("one.score_registers", registers, all, usedByOne);
  space.add("one.sum_registers", registers, all, usedByOne);
  // Scores of 64 rows are all that the stack takes.
  space.add("many.rows", {8, 16, 32, 64}, 32, usedByMany);
  space.add("many.score_registers", registers, all, usedByMany);
  space.add("many.sum_registers", registers, all, usedByMany);
  return space;
}

} // namespace

std::optional<Kernel> ropeCache(Operation *op, const Target &,
                                const Tuner *tuner) {
  auto rope = dyn_cast<lfm2::RopeCacheOp>(op);
  if (!rope || rope.getRope().getInterleaved() ||
      !cacheFits(rope.getKCache().getType()))
    return {};
  auto cache = cast<RankedTensorType>(rope.getKCache().getType());
  constexpr int64_t preset = 4;
  Choice choice = choose(
      tuner,
      rowSpace(llvm::formatv("rope_cache heads={0} kv={1} dim={2} rot={3} {4}",
                             width(rope.getQ()) / cache.getDimSize(2),
                             cache.getDimSize(1), cache.getDimSize(2),
                             rope.getRope().getDim(), cacheName(cache)),
               preset));
  KernelParams params(op);
  params.add("context", cache.getDimSize(0))
      .add("kv_heads", cache.getDimSize(1))
      .add("dim", cache.getDimSize(2))
      .add("kvtype", cacheKind(cache))
      .add("heads", width(rope.getQ()) / cache.getDimSize(2))
      .add("rot", rope.getRope().getDim())
      .add("lanes", keyCacheLanes)
      .add("block", cacheBlock)
      .add("q_stride", rowStride(rope.getQ()))
      .add("k_stride", rowStride(rope.getK()))
      .add("v_stride", rowStride(rope.getV()))
      .add("eps", rope.getEps().convertToDouble());
  return rowKernel(params, op, choice, preset);
}

std::optional<Kernel> attention(Operation *op, const Target &target,
                                const Tuner *tuner) {
  auto attention = dyn_cast<lfm2::AttentionOp>(op);
  if (!attention || !cacheFits(attention.getKCache().getType()))
    return {};
  auto cache = cast<RankedTensorType>(attention.getKCache().getType());
  int64_t kvHeads = cache.getDimSize(1), dim = cache.getDimSize(2);
  int64_t group = width(attention.getQ()) / (kvHeads * dim);
  KernelParams params(op);
  params.add("context", cache.getDimSize(0))
      .add("kv_heads", kvHeads)
      .add("dim", dim)
      .add("group", group)
      .add("kvtype", cacheKind(cache))
      .add("lanes", keyCacheLanes)
      .add("window", int64_t(attention.getWindow().value_or(0)))
      .add("q_stride", rowStride(attention.getQ()))
      .add("scale", attention.getScale().convertToDouble());
  bool one =
      cast<RankedTensorType>(attention.getQ().getType()).getDimSize(0) == 1;
  Choice choice = choose(tuner, attentionSpace(attention, target));
  auto chosen = [&](const char *name) {
    return choice[(one ? "one." : "many.") + std::string(name)];
  };
  int64_t tokens = one ? 1 : std::max<int64_t>(1, chosen("rows") / group);
  params.add("tokens", tokens);
  // Quantized caches lie in blocks.
  const int64_t block = choice["one.block"];
  const bool any = cacheKind(cache) != int64_t(lfm2::StoredKind::Q8) &&
                   cache.getDimSize(0) % block == 0;
  params.add("block", one && any ? block : cacheBlock);
  for (const char *name : {"score_registers", "sum_registers"})
    params.addUnless(target.vectorRegisters, name, chosen(name));
  const int64_t piece = choice["one.piece"];
  int64_t pieces = llvm::divideCeil(cache.getDimSize(0), piece);
  if (!one || pieces == 1)
    return params.kernel("attention", kvHeads, tokens);
  // Of a piece and head: maxima, sums and weighted values in whole lines.
  int64_t sums = llvm::alignTo(group, 16);
  int64_t partFloats = llvm::alignTo(2 * sums + group * dim, 16);
  params.add("piece", piece).add("sums", sums).add("part", partFloats);
  Kernel kernel = params.kernel("attention", kvHeads, 0);
  kernel.combine =
      std::make_shared<Kernel>(KernelParams(op)
                                   .add("kv_heads", kvHeads)
                                   .add("dim", dim)
                                   .add("group", group)
                                   .add("pieces", pieces)
                                   .add("piece", piece)
                                   .add("sums", sums)
                                   .add("part", partFloats)
                                   .kernel("attention_combine", kvHeads, 0));
  kernel.parts = RankedTensorType::get({pieces * kvHeads, partFloats},
                                       params.builder.getF32Type());
  return kernel;
}

} // namespace lfmc

// SPDX-License-Identifier: Apache-2.0
#include "passes/Passes.h"
#include "passes/fuse/Fuse.h"

using namespace mlir;
using namespace lfmc;

namespace lfmc {
#define GEN_PASS_DEF_FUSEROPECACHE
#include "passes/Passes.h.inc"
} // namespace lfmc

namespace {
/// The ops between the projections and the attention of one layer.
struct QkvPath {
  lfm2::RmsNormOp qNorm, kNorm;
  lfm2::RopeOp qRope, kRope;
  lfm2::CacheWriteOp kWrite, vWrite;

  SmallVector<Operation *, 6> ops() {
    return {qNorm, kNorm, qRope, kRope, kWrite, vWrite};
  }
};
} // namespace

/// The ops that lead to `attention`, if all are there; null members otherwise
/// make the result empty.
static std::optional<QkvPath> findPath(lfm2::AttentionOp attention) {
  QkvPath path;
  path.qRope = attention.getQ().getDefiningOp<lfm2::RopeOp>();
  path.kWrite = attention.getKCache().getDefiningOp<lfm2::CacheWriteOp>();
  path.vWrite = attention.getVCache().getDefiningOp<lfm2::CacheWriteOp>();
  if (!path.qRope || !path.kWrite || !path.vWrite)
    return {};
  path.kRope = path.kWrite.getX().getDefiningOp<lfm2::RopeOp>();
  path.qNorm = path.qRope.getX().getDefiningOp<lfm2::RmsNormOp>();
  if (!path.kRope || !path.qNorm)
    return {};
  path.kNorm = path.kRope.getX().getDefiningOp<lfm2::RmsNormOp>();
  if (!path.kNorm)
    return {};
  return path;
}

/// Whether the parameters of the ops agree with each other, as those of the
/// fused op must.
static bool agree(QkvPath &path, lfm2::AttentionOp attention) {
  auto cache = cast<RankedTensorType>(path.kWrite.getCache().getType());
  int64_t headDim = cache.getDimSize(2);
  Value pos = attention.getPos();
  auto perHead = [&](lfm2::RmsNormOp norm) {
    return norm.getWeight().getType().getDimSize(0) == headDim;
  };
  return path.vWrite.getCache().getType() == cache &&
         path.kWrite != path.vWrite && path.qRope != path.kRope &&
         path.qRope.getPos() == pos && path.kRope.getPos() == pos &&
         path.kWrite.getPos() == pos && path.vWrite.getPos() == pos &&
         path.qRope.getRope() == path.kRope.getRope() &&
         path.qRope.getHeadDim() == static_cast<uint64_t>(headDim) &&
         path.kRope.getHeadDim() == static_cast<uint64_t>(headDim) &&
         perHead(path.qNorm) && perHead(path.kNorm) &&
         path.qNorm.getEpsAttr() == path.kNorm.getEpsAttr();
}

static LogicalResult fuseRopeCache(lfm2::AttentionOp attention,
                                   RewriterBase &rewriter) {
  std::optional<QkvPath> path = findPath(attention);
  if (!path || !agree(*path, attention) || !path->qNorm->hasOneUse() ||
      !path->kNorm->hasOneUse() || !path->kRope->hasOneUse())
    return failure();

  // The fused op replaces the last of the six: all operands are defined there.
  Operation *last = path->qNorm;
  for (Operation *op : path->ops()) {
    if (op->getBlock() != attention->getBlock())
      return failure();
    if (last->isBeforeInBlock(op))
      last = op;
  }
  auto movable = [&](Operation *op) {
    return op == last || usersComeAfter(op, last);
  };
  if (!movable(path->qRope) || !movable(path->kWrite) || !movable(path->vWrite))
    return failure();

  rewriter.setInsertionPoint(last);
  SmallVector<Location> locs;
  for (Operation *op : path->ops())
    locs.push_back(op->getLoc());
  auto fused = lfm2::RopeCacheOp::create(
      rewriter, rewriter.getFusedLoc(locs), path->qRope.getType(),
      path->kWrite.getType(), path->vWrite.getType(), path->qNorm.getX(),
      path->kNorm.getX(), path->vWrite.getX(), path->qNorm.getWeight(),
      path->kNorm.getWeight(), path->kWrite.getCache(), path->vWrite.getCache(),
      attention.getPos(), path->qNorm.getEpsAttr(), path->qRope.getRopeAttr());
  rewriter.replaceOp(path->qRope, fused.getRotated());
  rewriter.replaceOp(path->kWrite, fused.getNewK());
  rewriter.replaceOp(path->vWrite, fused.getNewV());
  rewriter.eraseOp(path->kRope);
  rewriter.eraseOp(path->qNorm);
  rewriter.eraseOp(path->kNorm);
  return success();
}

namespace {
struct FuseRopeCache : lfmc::impl::FuseRopeCacheBase<FuseRopeCache> {
  void runOnOperation() override {
    fuseAll<lfm2::AttentionOp>(getOperation(), fuseRopeCache);
  }
};
} // namespace

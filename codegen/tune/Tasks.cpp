// SPDX-License-Identifier: Apache-2.0
#include "codegen/tune/Shapes.h"

#include "dialects/lfm2/Storage.h"
#include "frontend/Errors.h"
#include "targets/Kernels.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/ADT/STLExtras.h"

using namespace llvm;

namespace lfmc::tune {
namespace {

struct Listener : Tuner {
  mutable std::optional<Space> seen;
  Choice choose(const Space &space) const override {
    seen = space;
    return space.preset();
  }
};

// "n=2048" -> 2048.
bool number(StringRef word, StringRef key, int64_t &value) {
  return word.consume_front(key) && !word.getAsInteger(10, value) &&
         value > 0 && value < (int64_t(1) << 31);
}

} // namespace

Expected<LinearShape> LinearShape::parse(StringRef kernel) {
  SmallVector<StringRef> words;
  kernel.split(words, ' ');
  LinearShape shape;
  auto fail = [&] {
    return makeError("expected a kernel like 'linear n=2048 k=2048 q4/32', "
                     "found {}",
                     inQuotes(kernel));
  };
  if (words.size() < 4 || words[0] != "linear" ||
      !number(words[1], "n=", shape.n) || !number(words[2], "k=", shape.k))
    return fail();
  auto [kind, block] = words[3].split('/');
  std::optional<lfm2::StoredKind> stored = lfm2::symbolizeStoredKind(kind);
  if (!stored || (!block.empty() && !number(block, "", shape.block)))
    return fail();
  shape.kind = *stored;
  for (StringRef word : ArrayRef(words).drop_front(4)) {
    if (word != "swiglu" && word != "bias")
      return fail();
    (word == "bias" ? shape.bias : shape.swiglu) = true;
  }
  return shape;
}

double LinearShape::weightBytes() const {
  const double bits = kind == lfm2::StoredKind::F32  ? 32
                      : !block                       ? 16
                      : kind == lfm2::StoredKind::Q8 ? 8
                      : kind == lfm2::StoredKind::Q6 ? 6
                                                     : 4;
  const double scale = kind == lfm2::StoredKind::Q4M ? 32 : 16;
  return products() * (bits + (block ? scale / block : 0)) / 8;
}

Expected<AttentionShape> AttentionShape::parse(StringRef kernel) {
  SmallVector<StringRef> words;
  kernel.split(words, ' ');
  AttentionShape shape;
  std::optional<lfm2::StoredKind> kind;
  if (words.size() >= 5)
    kind = lfm2::symbolizeStoredKind(words[4]);
  if (words.size() < 5 || words.size() > 6 || words[0] != "attention" ||
      !number(words[1], "heads=", shape.heads) ||
      !number(words[2], "kv=", shape.kvHeads) ||
      !number(words[3], "dim=", shape.dim) || !kind ||
      shape.heads % shape.kvHeads ||
      (words.size() == 6 && !number(words[5], "window=", shape.window)) ||
      (*kind != lfm2::StoredKind::F32 && *kind != lfm2::StoredKind::F16 &&
       *kind != lfm2::StoredKind::Q8))
    return makeError("expected a kernel like 'attention heads=32 kv=8 dim=64 "
                     "f16', found {}",
                     inQuotes(kernel));
  shape.kind = *kind;
  return shape;
}

int64_t AttentionShape::rowBytes() const {
  return kind == lfm2::StoredKind::F32   ? 4 * dim
         : kind == lfm2::StoredKind::F16 ? 2 * dim
                                         : lfm2::quantizedHeadBytes(dim);
}

double AttentionShape::cacheBytes(int64_t positions) const {
  return 2.0 * double(kvHeads) * double(positions) * double(rowBytes());
}

static Cost costOf(const AttentionShape &shape, int64_t tokens) {
  // Each query against the positions that it sees, keys and values.
  auto seen = [&](int64_t positions) {
    return shape.window ? std::min(shape.window, positions) : positions;
  };
  const int64_t last = tokens == 1 ? tunedPositions : tokens;
  double pairs = 0;
  for (int64_t t = last - tokens; t < last; ++t)
    pairs += double(seen(t + 1));
  return {shape.cacheBytes(seen(last)),
          4 * pairs * double(shape.heads) * double(shape.dim), false, true};
}

/// Floats are multiplied in f32, whatever they are stored as: rows of bf16 have
/// no space.
static Cost costOf(const LinearShape &linear, int64_t tokens) {
  return {linear.weightBytes(), 2 * linear.products() * double(tokens),
          linear.block != 0, true};
}

std::optional<Cost> costOf(StringRef kernel, int64_t tokens) {
  return withShape(kernel, [&](auto shape) -> std::optional<Cost> {
    if (shape)
      return costOf(*shape, tokens);
    consumeError(shape.takeError());
    return std::nullopt;
  });
}

/// Spaces that the kernels of `op` have; those of ops that selection makes of
/// it, too.
static std::vector<Space> spacesOf(mlir::Operation *op, const Target &target) {
  std::vector<Space> spaces;
  auto ask = [&](mlir::Operation *asked) {
    Listener listener;
    kernelFor(asked, target, &listener);
    if (listener.seen)
      spaces.push_back(*listener.seen);
  };
  auto linear = mlir::dyn_cast<lfm2::LinearOp>(op);
  if (!linear || !linear.getNorm()) {
    ask(op);
    return spaces;
  }
  mlir::OpBuilder builder(op->getContext());
  auto norm = lfm2::RmsNormOp::create(builder, op->getLoc(),
                                      linear.getX().getType(), linear.getX(),
                                      linear.getNorm(), linear.getEpsAttr());
  ask(norm);
  norm->destroy();
  mlir::Operation *copy = op->clone();
  mlir::cast<lfm2::LinearOp>(copy).getNormMutable().clear();
  ask(copy);
  copy->destroy();
  return spaces;
}

/// Whether a phase's kernel has anything to choose.
static bool changes(const Space &space, Phase phase) {
  return any_of(space.parameters, [&](const Parameter &parameter) {
    return parameter.changes(phase) && parameter.values.size() > 1;
  });
}

std::vector<Task> tasksOf(mlir::ModuleOp module, const Target &target) {
  std::vector<Task> tasks;
  double total[2] = {0, 0};
  module.walk([&](mlir::Operation *op) {
    if (!mlir::isa<lfm2::LinearOp, lfm2::AttentionOp, lfm2::ExpertsOp,
                   lfm2::QuantizeOp, lfm2::RmsNormOp, lfm2::EmbedOp,
                   lfm2::RopeCacheOp, lfm2::ShortConvOp>(op))
      return;
    const bool one =
        mlir::cast<mlir::RankedTensorType>(op->getOperand(0).getType())
            .getDimSize(0) == 1;
    if (!one &&
        op->getParentOfType<mlir::func::FuncOp>().getSymName() == "head")
      return;
    for (const Space &space : spacesOf(op, target)) {
      std::optional<Cost> does = costOf(space.kernel, one ? 1 : 512);
      if (!does || !changes(space, one ? Phase::One : Phase::Many))
        continue;
      auto task = find_if(
          tasks, [&](const Task &t) { return t.kernel == space.kernel; });
      if (task == tasks.end())
        task = tasks.insert(task, Task{space.kernel});
      const double cost =
          one ? does->bytes + (does->bounded ? 0 : does->operations)
              : does->operations * (does->integers ? 1 : 4);
      task->share[one ? 0 : 1] += cost;
      total[one ? 0 : 1] += cost;
    }
  });
  for (Task &task : tasks)
    for (int p : {0, 1})
      if (total[p] > 0)
        task.share[p] /= total[p];
  sort(tasks, [](const Task &a, const Task &b) {
    const double first = a.share[0] + a.share[1];
    const double second = b.share[0] + b.share[1];
    return first != second ? first > second : a.kernel < b.kernel;
  });
  return tasks;
}

} // namespace lfmc::tune

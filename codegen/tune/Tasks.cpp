// SPDX-License-Identifier: Apache-2.0
#include "codegen/tune/Tasks.h"

#include "frontend/Errors.h"
#include "targets/Kernels.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/ADT/STLExtras.h"

using namespace llvm;

namespace lfmc::tune {
namespace {

struct Listener : Tuner {
  mutable std::string kernel;
  Choice choose(const Space &space) const override {
    kernel = space.kernel;
    return space.preset();
  }
};

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
  auto number = [](StringRef word, StringRef key, int64_t &value) {
    return word.consume_front(key) && !word.getAsInteger(10, value) &&
           value > 0 && value < (int64_t(1) << 31);
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

std::optional<Cost> costOf(StringRef kernel, int64_t tokens) {
  Expected<LinearShape> linear = LinearShape::parse(kernel);
  if (!linear) {
    consumeError(linear.takeError());
    return std::nullopt;
  }
  // Floats are multiplied in f32, whatever they are stored as: rows of bf16
  // have no space.
  return Cost{linear->weightBytes(), 2 * linear->products() * double(tokens),
              linear->block != 0};
}

std::vector<Task> tasksOf(mlir::ModuleOp module, const Target &target) {
  std::vector<Task> tasks;
  double total[2] = {0, 0};
  module.walk([&](lfm2::LinearOp op) {
    const bool one = op.getX().getType().getDimSize(0) == 1;
    if (!one &&
        op->getParentOfType<mlir::func::FuncOp>().getSymName() == "head")
      return;
    Listener listener;
    // Selection gives the norm a call of its own.
    auto copy = mlir::cast<lfm2::LinearOp>(op->clone());
    copy.getNormMutable().clear();
    kernelFor(copy, target, &listener);
    copy->destroy();
    if (listener.kernel.empty())
      return;
    Expected<LinearShape> shape = LinearShape::parse(listener.kernel);
    if (!shape)
      return consumeError(shape.takeError());
    auto task = find_if(
        tasks, [&](const Task &t) { return t.kernel == listener.kernel; });
    if (task == tasks.end())
      task = tasks.insert(task, Task{listener.kernel});
    const double cost = one ? shape->weightBytes() : shape->products();
    task->share[one ? 0 : 1] += cost;
    total[one ? 0 : 1] += cost;
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

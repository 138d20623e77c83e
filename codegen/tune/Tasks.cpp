// SPDX-License-Identifier: Apache-2.0
#include "codegen/tune/Tasks.h"

#include "codegen/tune/Problem.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/ADT/STLExtras.h"

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
    llvm::Expected<LinearShape> shape = LinearShape::parse(listener.kernel);
    if (!shape)
      return llvm::consumeError(shape.takeError());
    auto task = llvm::find_if(
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
  llvm::stable_sort(tasks, [](const Task &a, const Task &b) {
    return a.share[0] + a.share[1] > b.share[0] + b.share[1];
  });
  return tasks;
}

} // namespace lfmc::tune

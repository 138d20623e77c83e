// SPDX-License-Identifier: Apache-2.0
#include "codegen/tune/Problem.h"

#include "codegen/tune/TestOperands.h"
#include "frontend/Errors.h"

#include "mlir/Parser/Parser.h"

using namespace llvm;

namespace lfmc::tune {
namespace {

/// Always the same answer.
struct Fixed : Tuner {
  const Choice &choice;
  explicit Fixed(const Choice &choice) : choice(choice) {}
  Choice choose(const Space &) const override { return choice; }
};

/// Keeps the space that it is asked about.
struct Listener : Tuner {
  mutable std::optional<Space> seen;
  Choice choose(const Space &space) const override {
    seen = space;
    return space.preset();
  }
};

} // namespace

Problem::Problem(std::unique_ptr<Subject> subject, const Target &target)
    : subject(std::move(subject)), target(target) {
  prepareForCodegen(context);
  context.disableMultithreading();
}

Error Problem::build() {
  std::string diagnostics;
  mlir::ScopedDiagnosticHandler handler(&context, [&](mlir::Diagnostic &found) {
    diagnostics += found.str();
    return mlir::success();
  });
  module = mlir::parseSourceString<mlir::ModuleOp>(subject->module(target),
                                                   &context);
  if (!module)
    return makeError("{}", diagnostics);
  module->walk([&](mlir::Operation *op) {
    if (op->getName().getStringRef() == subject->op())
      ops[mlir::cast<mlir::RankedTensorType>(op->getOperand(0).getType())
                      .getDimSize(0) == 1
              ? 0
              : 1] = op;
  });
  // A name may say of the many what does not hold of one (quads).
  for (mlir::Operation *op : ops) {
    Listener listener;
    if (!kernelFor(op, target, &listener) || !listener.seen)
      return makeError("target {} has no kernel to tune for this",
                       target.name.str());
    spaces.push_back(*listener.seen);
  }
  return Error::success();
}

Expected<std::unique_ptr<Problem>> Problem::create(StringRef kernel,
                                                   const Target &target) {
  Expected<std::unique_ptr<Subject>> subject = subjectOf(kernel);
  if (!subject)
    return subject.takeError();
  std::unique_ptr<Problem> problem(new Problem(std::move(*subject), target));
  if (Error error = problem->build())
    return makeError("kernel {}: {}", inQuotes(kernel),
                     toString(std::move(error)));
  for (Space &space : problem->spaces)
    if (space.kernel == kernel)
      problem->parameters = space;
  if (problem->parameters.kernel != kernel)
    return makeError("expected a kernel like {}, found {}",
                     inQuotes(problem->spaces.back().kernel), inQuotes(kernel));
  return problem;
}

Kernel Problem::kernel(Phase phase, const Choice &choice) {
  Fixed fixed(choice);
  return *kernelFor(ops[phase == Phase::One ? 0 : 1], target, &fixed);
}

std::string Problem::declaration(Phase phase, const Choice &choice) {
  Kernel found = kernel(phase, choice);
  std::string text;
  raw_string_ostream(text) << found.generator << " "
                           << mlir::DictionaryAttr::get(&context, found.params)
                           << " " << found.chunks;
  return text;
}

Expected<std::vector<ObjectFile>>
Problem::compile(Phase phase, const Choice &choice, StringRef symbol,
                 const std::string &cacheDir, unsigned jobs) {
  Kernel found = kernel(phase, choice);
  mlir::OpBuilder builder(&context);
  builder.setInsertionPointToEnd(module->getBody());
  auto decl = kernel::DeclOp::create(
      builder, builder.getUnknownLoc(), symbol, found.generator,
      mlir::DictionaryAttr::get(&context, found.params), found.chunks,
      builder.getStringAttr("private"));
  CodegenOptions options;
  options.target = &target;
  options.modelName = symbol.str();
  options.cacheDir = cacheDir;
  options.jobs = jobs;
  Expected<std::vector<ObjectFile>> objects =
      generateKernel(decl, subject->pointers(), options);
  decl.erase();
  return objects;
}

int64_t Problem::tokens(Phase phase, const MeasureOptions &options) {
  if (phase == Phase::One)
    return 1;
  const int64_t tokens = std::min(options.tokens, subject->mostTokens());
  const int64_t together =
      formOf(kernel(phase, parameters.preset()), tokens).together;
  return std::max(together, tokens / together * together); // whole ones
}

std::vector<uint8_t> Problem::job(Phase phase, const Choice &choice,
                                  const MeasureOptions &options) {
  const Kernel kernels[] = {kernel(phase, parameters.preset()),
                            kernel(phase, choice)};
  MeasureOptions own = options;
  own.cpuFeatures = target.cpuFeatures;
  return subject->job(kernels, tokens(phase, options), own);
}

} // namespace lfmc::tune

// SPDX-License-Identifier: Apache-2.0
#include "codegen/tune/Problem.h"

#include "codegen/tune/TestData.h"
#include "dialects/Register.h"
#include "frontend/Errors.h"

#include "mlir/Conversion/ArithToLLVM/ArithToLLVM.h"
#include "mlir/Conversion/ControlFlowToLLVM/ControlFlowToLLVM.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
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

/// Whether the kernel reads four tokens together
/// (codegen/llvm/micro/ArmTile.h).
bool inQuads(const Kernel &kernel) {
  return llvm::any_of(kernel.params, [](const mlir::NamedAttribute &param) {
    return param.getName() == "quads";
  });
}

/// Keeps the space that it is asked about.
struct Listener : Tuner {
  mutable std::optional<Space> seen;
  Choice choose(const Space &space) const override {
    seen = space;
    return space.preset();
  }
};

} // namespace

Problem::Problem(const LinearShape &linear, const Target &target)
    : linear(linear), target(target) {
  mlir::DialectRegistry registry;
  registerLfmcDialects(registry);
  mlir::arith::registerConvertArithToLLVMInterface(registry);
  mlir::cf::registerConvertControlFlowToLLVMInterface(registry);
  context.appendDialectRegistry(registry);
  context.loadAllAvailableDialects();
  context.disableMultithreading();
}

/// A module with the op for one token and for many.
Error Problem::build() {
  std::string text, diagnostics;
  std::string kind = lfm2::stringifyStoredKind(linear.kind).str();
  std::string weight = fmt::format(
      "tensor<{}x{}xf32, #lfm2.stored<{}{}>>", linear.n, linear.k, kind,
      linear.block ? fmt::format(" block {}", linear.block) : "");
  text = fmt::format("lfm2.weight @w : {} = #lfm2.source<\"w\">\n", weight);
  std::string biasType =
      fmt::format("tensor<{}xf32, #lfm2.stored<f32>>", linear.n);
  if (linear.bias)
    text +=
        fmt::format("lfm2.weight @b : {} = #lfm2.source<\"b\">\n", biasType);
  for (const char *rows : {"1", "?"}) {
    std::string x = fmt::format("tensor<{}x{}xf32{}>", rows, linear.k,
                                linear.block ? ", #lfm2.quantized<32>" : "");
    std::string y = fmt::format("tensor<{}x{}xf32>", rows,
                                linear.swiglu ? linear.n / 2 : linear.n);
    text += fmt::format("func.func @f{}(%x: {}) -> {} {{\n",
                        rows[0] == '1' ? "one" : "many", x, y);
    text += fmt::format("%w = lfm2.param @w : {}\n", weight);
    if (linear.bias)
      text += fmt::format("%b = lfm2.param @b : {}\n", biasType);
    text += fmt::format(
        "%y = lfm2.linear %x, %w {}{} : ({}, {}{}) -> {}\nreturn %y : {}\n}}\n",
        linear.bias ? "bias(%b) " : "",
        linear.swiglu ? "{activation = #lfm2.activation<swiglu>}" : "", x,
        weight, linear.bias ? ", " + biasType : "", y, y);
  }
  mlir::ScopedDiagnosticHandler handler(&context, [&](mlir::Diagnostic &found) {
    diagnostics += found.str();
    return mlir::success();
  });
  module = mlir::parseSourceString<mlir::ModuleOp>(text, &context);
  if (!module)
    return makeError("{}", diagnostics);
  module->walk([&](lfm2::LinearOp op) {
    ops[op.getX().getType().getDimSize(0) == 1 ? 0 : 1] = op;
  });
  Listener listener;
  for (mlir::Operation *op : ops)
    if (!kernelFor(op, target, &listener) || !listener.seen)
      return makeError("target {} has no kernel to tune for this weight",
                       target.name.str());
  parameters = *listener.seen;
  return Error::success();
}

Expected<std::unique_ptr<Problem>> Problem::create(StringRef kernel,
                                                   const Target &target) {
  Expected<LinearShape> shape = LinearShape::parse(kernel);
  if (!shape)
    return shape.takeError();
  std::unique_ptr<Problem> problem(new Problem(*shape, target));
  if (Error error = problem->build())
    return makeError("kernel {}: {}", inQuotes(kernel),
                     toString(std::move(error)));
  if (problem->parameters.kernel != kernel)
    return makeError("expected a kernel like {}, found {}",
                     inQuotes(problem->parameters.kernel), inQuotes(kernel));
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
  // x, weight, y; bias between.
  Expected<std::vector<ObjectFile>> objects =
      generateKernel(decl, linear.bias ? 4 : 3, options);
  decl.erase();
  return objects;
}

int64_t Problem::tokens(Phase phase, const MeasureOptions &options) {
  if (phase == Phase::One)
    return 1;
  if (!inQuads(kernel(phase, parameters.preset())))
    return options.tokens;
  return std::max<int64_t>(4, options.tokens / 4 * 4); // whole ones
}

std::vector<uint8_t> Problem::job(Phase phase, const Choice &choice,
                                  const MeasureOptions &options) {
  Kernel kernels[] = {kernel(phase, parameters.preset()),
                      kernel(phase, choice)};
  return measuringJob(linear, kernels, tokens(phase, options),
                      inQuads(kernels[0]), options);
}

} // namespace lfmc::tune

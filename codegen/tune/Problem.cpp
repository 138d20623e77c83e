// SPDX-License-Identifier: Apache-2.0
#include "codegen/tune/Problem.h"

#include "codegen/tune/TestData.h"
#include "frontend/Errors.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Parser/Parser.h"

#include <cmath>

using namespace llvm;

namespace lfmc::tune {
namespace {

/// Always the same answer.
struct Fixed : Tuner {
  const Choice &choice;
  explicit Fixed(const Choice &choice) : choice(choice) {}
  Choice choose(const Space &) const override { return choice; }
};

/// How the kernel reads `tokens` rows (codegen/llvm/micro/ArmTile.h,
/// WideTile.cpp).
RowForm formOf(const Kernel &kernel, int64_t tokens) {
  auto parameter = [&](StringRef name) -> int64_t {
    for (const mlir::NamedAttribute &param : kernel.params)
      if (param.getName() == name)
        return mlir::cast<mlir::IntegerAttr>(param.getValue()).getInt();
    return 0;
  };
  RowForm form;
  if (parameter("quads"))
    form.together = 4;
  if (parameter("group") && tokens >= parameter("wide_from"))
    form.shared = parameter("group");
  return form;
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

Problem::Problem(const Shape &shape, const Target &target)
    : shape(shape), target(target) {
  prepareForCodegen(context);
  context.disableMultithreading();
}

/// Modules with the op for one token and for many.
static std::string moduleOf(const LinearShape &linear) {
  std::string kind = lfm2::stringifyStoredKind(linear.kind).str();
  std::string weight = fmt::format(
      "tensor<{}x{}xf32, #lfm2.stored<{}{}>>", linear.n, linear.k, kind,
      linear.block ? fmt::format(" block {}", linear.block) : "");
  std::string text =
      fmt::format("lfm2.weight @w : {} = #lfm2.source<\"w\">\n", weight);
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
  return text;
}

static std::string moduleOf(const AttentionShape &shape) {
  std::string text;
  const std::string cache = fmt::format(
      "tensor<{}x{}x{}x{}>", Problem::positions, shape.kvHeads, shape.dim,
      shape.kind == lfm2::StoredKind::F16   ? "f16"
      : shape.kind == lfm2::StoredKind::F32 ? "f32"
                                            : "f32, #lfm2.quantized_cache<64>");
  for (const char *rows : {"1", "?"}) {
    const std::string x =
        fmt::format("tensor<{}x{}xf32>", rows, shape.heads * shape.dim);
    text += fmt::format(
        "func.func @f{0}(%q: {1}, %k: {2}, %v: {2}, %pos: index) -> {1} {{\n"
        "%y = lfm2.attention %q, %k, %v at %pos scale {3:.17e}{4} : {1}, {2}, "
        "{2}\nreturn %y : {1}\n}}\n",
        rows[0] == '1' ? "one" : "many", x, cache,
        1 / std::sqrt(double(shape.dim)),
        shape.window ? fmt::format(" window {}", shape.window) : "");
  }
  return text;
}

Error Problem::build(const std::string &text) {
  std::string diagnostics;
  mlir::ScopedDiagnosticHandler handler(&context, [&](mlir::Diagnostic &found) {
    diagnostics += found.str();
    return mlir::success();
  });
  module = mlir::parseSourceString<mlir::ModuleOp>(text, &context);
  if (!module)
    return makeError("{}", diagnostics);
  module->walk([&](mlir::Operation *op) {
    if (mlir::isa<lfm2::LinearOp, lfm2::AttentionOp>(op))
      ops[mlir::cast<mlir::RankedTensorType>(op->getOperand(0).getType())
                      .getDimSize(0) == 1
              ? 0
              : 1] = op;
  });
  Listener listener;
  for (mlir::Operation *op : ops)
    if (!kernelFor(op, target, &listener) || !listener.seen)
      return makeError("target {} has no kernel to tune for this",
                       target.name.str());
  parameters = *listener.seen;
  return Error::success();
}

Expected<std::unique_ptr<Problem>> Problem::create(StringRef kernel,
                                                   const Target &target) {
  Shape shape;
  std::string text;
  auto read = [&](auto parsed) -> Error {
    if (!parsed)
      return parsed.takeError();
    shape = *parsed;
    text = moduleOf(*parsed);
    return Error::success();
  };
  if (Error error = kernel.starts_with("attention ")
                        ? read(AttentionShape::parse(kernel))
                        : read(LinearShape::parse(kernel)))
    return error;
  std::unique_ptr<Problem> problem(new Problem(shape, target));
  if (Error error = problem->build(text))
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
  Expected<std::vector<ObjectFile>> objects =
      generateKernel(decl, pointers(), options);
  decl.erase();
  return objects;
}

unsigned Problem::pointers() const {
  // q, keys, values, y; x, weight, y and bias between.
  auto *linear = std::get_if<LinearShape>(&shape);
  return linear && !linear->bias ? 3 : 4;
}

int64_t Problem::tokens(Phase phase, const MeasureOptions &options) {
  if (phase == Phase::One)
    return 1;
  if (std::holds_alternative<AttentionShape>(shape))
    return std::min(options.tokens, positions);
  if (formOf(kernel(phase, parameters.preset()), options.tokens).together == 1)
    return options.tokens;
  return std::max<int64_t>(4, options.tokens / 4 * 4); // whole ones
}

std::vector<uint8_t> Problem::job(Phase phase, const Choice &choice,
                                  const MeasureOptions &options) {
  Kernel kernels[] = {kernel(phase, parameters.preset()),
                      kernel(phase, choice)};
  const int64_t count = tokens(phase, options);
  if (auto *attention = std::get_if<AttentionShape>(&shape))
    return attentionJob(*attention, kernels, count,
                        phase == Phase::One ? tunedPositions - 1 : 0, options);
  return measuringJob(std::get<LinearShape>(shape), kernels, count,
                      formOf(kernels[0], count), options);
}

} // namespace lfmc::tune

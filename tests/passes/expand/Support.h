// SPDX-License-Identifier: Apache-2.0
//
// Runs IR given as text on the reference executor.
#ifndef LFMC_TESTS_PASSES_EXPAND_SUPPORT_H
#define LFMC_TESTS_PASSES_EXPAND_SUPPORT_H

#include "codegen/reference/ReferenceExecutor.h"
#include "dialects/Register.h"

#include "mlir/Parser/Parser.h"

#include <gtest/gtest.h>

#include <random>

namespace lfmc::test {

inline mlir::MLIRContext &context() {
  static mlir::MLIRContext *context = [] {
    mlir::DialectRegistry registry;
    registerLfmcDialects(registry);
    auto *result = new mlir::MLIRContext(registry);
    return result;
  }();
  return *context;
}

/// Results of @f in `ir`; on an error none, and the test fails.
inline std::vector<HostTensor> run(const std::string &ir,
                                   llvm::ArrayRef<HostTensor> inputs) {
  auto module = mlir::parseSourceString<mlir::ModuleOp>(ir, &context());
  if (!module) {
    ADD_FAILURE() << "cannot parse " << ir;
    return {};
  }
  ReferenceExecutor executor(*module);
  auto results = executor.run("f", inputs);
  if (!results) {
    ADD_FAILURE() << llvm::toString(results.takeError());
    return {};
  }
  return std::move(results->outputs);
}

/// Values in [-1, 1], the same in every run.
inline HostTensor random(std::initializer_list<int64_t> shape, unsigned seed) {
  HostTensor tensor(HostTensor::Element::F32, shape);
  std::mt19937 bits(seed);
  for (float &value : tensor.floats())
    value = float(bits()) / 2147483648.0f - 1.0f;
  return tensor;
}

/// Fails the test at the first element that differs by more than `tolerance`.
inline void expectNear(const HostTensor &found, llvm::ArrayRef<double> wanted,
                       double tolerance) {
  std::vector<float> values = found.toFloats();
  ASSERT_EQ(values.size(), wanted.size());
  for (size_t i = 0; i < values.size(); ++i)
    ASSERT_NEAR(values[i], wanted[i], tolerance) << "element " << i;
}

} // namespace lfmc::test

#endif // LFMC_TESTS_PASSES_EXPAND_SUPPORT_H

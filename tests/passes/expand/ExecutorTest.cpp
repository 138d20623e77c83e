// SPDX-License-Identifier: Apache-2.0
//
// The reference executor's own promises: errors, weights, taps.
#include "tests/passes/expand/Support.h"

using namespace mlir;
using namespace lfmc;
using namespace lfmc::test;

namespace {

const char *model = R"(
  lfm2.weight @w : tensor<2x2xf32, #lfm2.stored<f32>> = #lfm2.source<"w">
  func.func @f(%x: tensor<?x2xf32>) -> tensor<?x2xf32> {
    %w = lfm2.param @w : tensor<2x2xf32, #lfm2.stored<f32>> loc("first")
    %0 = lfm2.linear %x, %w : (tensor<?x2xf32>, tensor<2x2xf32, #lfm2.stored<f32>>) -> tensor<?x2xf32> loc("first")
    %1 = arith.addf %0, %0 : tensor<?x2xf32> loc(fused["first", "second"])
    return %1 : tensor<?x2xf32>
  }
  func.func private @declared(tensor<?x2xf32>)
  func.func @scalar(%x: tensor<?x2xf32>) -> index {
    %c = arith.constant 1 : index
    return %c : index
  })";

struct Executor : ::testing::Test {
  OwningOpRef<ModuleOp> module = parseSourceString<ModuleOp>(model, &context());
  int reads = 0;

  std::unique_ptr<ReferenceExecutor> make() {
    return std::make_unique<ReferenceExecutor>(
        *module, [this](lfm2::WeightOp, MutableArrayRef<float> values) {
          ++reads;
          std::copy_n(std::begin({1.0f, 2.0f, 3.0f, 4.0f}), 4, values.begin());
          return llvm::Error::success();
        });
  }

  static std::string error(llvm::Expected<ReferenceExecutor::Results> results) {
    return results ? "" : llvm::toString(results.takeError());
  }
};

TEST_F(Executor, ReadsAWeightOnce) {
  auto executor = make();
  HostTensor x = HostTensor::f32({1, 2}, {1, 10});
  for (int i = 0; i < 2; ++i) {
    auto results = executor->run("f", x);
    ASSERT_TRUE(bool(results)) << llvm::toString(results.takeError());
    expectNear(results->outputs[0], {42, 86}, 0);
    EXPECT_TRUE(results->taps.empty());
  }
  EXPECT_EQ(reads, 1);
}

TEST_F(Executor, TapsValuesByTheLastNameOfTheirLocation) {
  auto executor = make();
  executor->setTaps({"second", "first", "third"});
  auto results = executor->run("f", HostTensor::f32({1, 2}, {1, 10}));
  ASSERT_TRUE(bool(results)) << llvm::toString(results.takeError());
  EXPECT_EQ(results->outputs.size(), 1u);
  ASSERT_EQ(results->taps.size(), 2u);
  expectNear(results->taps["first"], {21, 43}, 0);
  expectNear(results->taps["second"], {42, 86}, 0);
}

TEST_F(Executor, NamesWhatDoesNotFit) {
  auto executor = make();
  EXPECT_EQ(error(executor->run("g", {})),
            "the module has no function @g with a body");
  EXPECT_EQ(error(executor->run("declared", {})),
            "the module has no function @declared with a body");
  EXPECT_EQ(error(executor->run("f", {})),
            "function @f: expected 1 inputs, found 0");
  EXPECT_EQ(error(executor->run("f", random({2, 3}, 1))),
            "function @f, argument 0: expected tensor<?x2xf32>, found "
            "tensor<2x3xf32>");
  EXPECT_EQ(error(executor->run("f", HostTensor::i32({1, 2}))),
            "function @f, argument 0: expected tensor<?x2xf32>, found "
            "tensor<2xi32>");
  EXPECT_EQ(
      error(executor->run("scalar", random({2, 2}, 1))),
      "function @scalar: expected results that are tensors of f32, f16 or "
      "i32, found index");
}

TEST_F(Executor, ReportsWeightsThatCannotBeRead) {
  ReferenceExecutor without(*module);
  EXPECT_EQ(error(without.run("f", random({1, 2}, 1))),
            "weight @w cannot be read: no checkpoint given");
  ReferenceExecutor failing(*module,
                            [](lfm2::WeightOp, MutableArrayRef<float>) {
                              return llvm::createStringError("no such tensor");
                            });
  EXPECT_EQ(error(failing.run("f", random({1, 2}, 1))), "no such tensor");
}

} // namespace

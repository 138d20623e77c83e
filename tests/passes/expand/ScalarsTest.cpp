// SPDX-License-Identifier: Apache-2.0
//
// Accuracy of the polynomials that replace the math library.
#include "tests/passes/expand/Support.h"

#include "passes/expand/Emitter.h"

#include <bit>
#include <cmath>

using namespace mlir;
using namespace lfmc;

namespace {

using Body = expand::Emitter::Body;

/// Values of `body` for every element of `inputs`.
std::vector<HostTensor> map(llvm::ArrayRef<float> inputs, int results,
                            Body body) {
  MLIRContext &context = test::context();
  context.loadAllAvailableDialects();
  OwningOpRef<ModuleOp> module = ModuleOp::create(UnknownLoc::get(&context));
  OpBuilder builder = OpBuilder::atBlockEnd(module->getBody());
  auto rows =
      RankedTensorType::get({ShapedType::kDynamic}, builder.getF32Type());
  auto function = func::FuncOp::create(
      builder, builder.getUnknownLoc(), "f",
      builder.getFunctionType({rows}, SmallVector<Type>(results, rows)));
  builder.setInsertionPointToStart(function.addEntryBlock());
  expand::Emitter e(builder.getUnknownLoc(), builder);
  Value x = function.getArgument(0);
  SmallVector<Value> inits;
  for (int i = 0; i < results; ++i)
    inits.push_back(e.empty({e.size(x, 0)}));
  SmallVector<StringRef> maps(results + 1, "i");
  SmallVector<Value> mapped = e.loopNest("i", maps, x, inits, body);
  func::ReturnOp::create(e, mapped);
  ReferenceExecutor executor(*module);
  auto result =
      executor.run("f", HostTensor::f32({int64_t(inputs.size())}, inputs));
  if (!result) {
    ADD_FAILURE() << llvm::toString(result.takeError());
    return {};
  }
  return std::move(result->outputs);
}

HostTensor mapExp(llvm::ArrayRef<float> inputs) {
  return map(inputs, 1,
             [](expand::Emitter &e, ValueRange v) {
               return SmallVector<Value>{e.exp(v[0])};
             })
      .front();
}

// Distance of `found` from `wanted` in units of the last place of the result.
double ulps(float found, double wanted) {
  float nearest = float(wanted);
  if (found == nearest)
    return 0;
  double unit =
      std::nextafter(std::fabs(nearest), INFINITY) - double(std::fabs(nearest));
  return std::fabs(found - wanted) / unit;
}

TEST(Scalars, ExpIsWithinTwoUlp) {
  std::vector<float> inputs;
  for (uint64_t bits = 0; bits < uint64_t(1) << 32; bits += 2003) {
    float x = std::bit_cast<float>(uint32_t(bits));
    if (x > -104 && x < 88.7f) // the result is finite and not zero
      inputs.push_back(x);
  }
  ASSERT_GT(inputs.size(), 1'000'000u);
  HostTensor found = mapExp(inputs);
  double worst = 0;
  for (size_t i = 0; i < inputs.size(); ++i)
    worst =
        std::max(worst, ulps(found.floats()[i], std::exp(double(inputs[i]))));
  EXPECT_LT(worst, 2.0);
  RecordProperty("worst_ulp", std::to_string(worst));
}

TEST(Scalars, ExpAtItsEnds) {
  std::vector<float> inputs{0.0f,      -0.0f,  89.0f,   1e30f, INFINITY,
                            -INFINITY, -1e30f, -105.0f, NAN};
  HostTensor found = mapExp(inputs);
  llvm::ArrayRef<float> y = found.floats();
  EXPECT_EQ(y[0], 1.0f);
  EXPECT_EQ(y[1], 1.0f);
  for (int i : {2, 3, 4})
    EXPECT_EQ(y[i], INFINITY) << inputs[i];
  for (int i : {5, 6, 7})
    EXPECT_EQ(y[i], 0.0f) << inputs[i];
  EXPECT_TRUE(std::isnan(y[8]));
}

TEST(Scalars, CosAndSinAreWithin1e7) {
  std::vector<float> inputs{0.0f, -0.0f};
  std::mt19937 random(1);
  for (float scale : {1.0f, 10.0f, 1e3f, 1e5f, 1.2e8f, 1e9f})
    for (int i = 0; i < 100'000; ++i)
      inputs.push_back(scale * (float(random()) / 2147483648.0f - 1.0f));
  std::vector<HostTensor> found =
      map(inputs, 2, [](expand::Emitter &e, ValueRange v) {
        auto [cosine, sine] = e.cosSin(v[0]);
        return SmallVector<Value>{cosine, sine};
      });
  ASSERT_EQ(found.size(), 2u);
  double worst = 0;
  for (size_t i = 0; i < inputs.size(); ++i) {
    double x = inputs[i];
    worst = std::max({worst, std::fabs(found[0].floats()[i] - std::cos(x)),
                      std::fabs(found[1].floats()[i] - std::sin(x))});
  }
  EXPECT_LT(worst, 1e-7);
}

} // namespace

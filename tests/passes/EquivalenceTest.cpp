// SPDX-License-Identifier: Apache-2.0
//
// No pass changes what a program computes: functions and whole models give the
// same numbers before and after, on the reference executor.
#include "codegen/reference/CheckpointWeights.h"
#include "codegen/reference/ReferenceModel.h"
#include "frontend/ImportLfm2.h"
#include "passes/Passes.h"
#include "passes/Pipeline.h"

#include "mlir/IR/MLIRContext.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"

#include <gtest/gtest.h>

#include <functional>
#include <random>

using namespace mlir;
using namespace lfmc;

namespace {

using AddPasses = std::function<void(OpPassManager &)>;

template <typename T>
T check(llvm::Expected<T> value) {
  if (!value) {
    ADD_FAILURE() << llvm::toString(value.takeError());
    return T();
  }
  return std::move(*value);
}

bool run(ModuleOp module, const AddPasses &add) {
  PassManager passes(module.getContext());
  add(passes);
  return succeeded(passes.run(module));
}

/// Largest difference relative to the larger of 1 and the values.
double distance(const HostTensor &a, const HostTensor &b) {
  if (a.shape != b.shape)
    return INFINITY;
  std::vector<float> x = a.toFloats(), y = b.toFloats();
  double worst = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    double difference = std::abs(double(x[i]) - y[i]);
    if (!(difference <= INFINITY))
      return INFINITY;
    worst = std::max(worst, difference / std::max(1.0, std::abs(double(x[i]))));
  }
  return worst;
}

/// Random values for the checkpoint tensors that a module names; the rows of a
/// weight with several tensors belong to them in equal parts.
class RandomWeights {
public:
  explicit RandomWeights(ModuleOp module) {
    for (auto weight : module.getOps<lfm2::WeightOp>()) {
      auto type = cast<RankedTensorType>(weight.getType());
      auto names = cast<lfm2::SourceAttr>(weight.getSource()).getTensors();
      for (StringAttr name : names)
        tensors[name.str()] = draw(type.getNumElements() / names.size());
    }
  }

  /// Multiples of 1/64, which every format holds.
  std::vector<float> draw(int64_t count) {
    std::uniform_int_distribution<int> values(-64, 64);
    std::vector<float> result(count);
    for (float &value : result)
      value = values(random) / 64.0f;
    return result;
  }

  llvm::Error read(lfm2::WeightOp weight, llvm::MutableArrayRef<float> values) {
    size_t offset = 0;
    for (StringAttr name :
         cast<lfm2::SourceAttr>(weight.getSource()).getTensors()) {
      const std::vector<float> &tensor = tensors.at(name.str());
      if (offset + tensor.size() > values.size())
        return llvm::createStringError("too many rows in a stack");
      llvm::copy(tensor, values.begin() + offset);
      offset += tensor.size();
    }
    if (offset != values.size())
      return llvm::createStringError("rows are missing in a stack");
    return llvm::Error::success();
  }

private:
  std::mt19937 random{7};
  std::map<std::string, std::vector<float>> tensors;
};

std::vector<HostTensor> randomInputs(func::FuncOp function,
                                     RandomWeights &weights) {
  constexpr int64_t tokens = 3, position = 5;
  std::vector<HostTensor> inputs;
  for (Type type : function.getArgumentTypes()) {
    auto tensor = dyn_cast<RankedTensorType>(type);
    if (!tensor) {
      inputs.push_back(HostTensor::index(position));
      continue;
    }
    SmallVector<int64_t> shape(tensor.getShape());
    int64_t elements = 1;
    for (int64_t &size : shape)
      elements *= size = ShapedType::isDynamic(size) ? tokens : size;
    if (tensor.getElementType().isF32())
      inputs.push_back(HostTensor::f32(shape, weights.draw(elements)));
    else
      inputs.push_back(HostTensor::i32(std::vector<int32_t>(elements, 1)));
  }
  return inputs;
}

//===----------------------------------------------------------------------===//
// The lit tests' functions
//===----------------------------------------------------------------------===//

struct FileCase {
  const char *file; ///< below tests/passes
  std::unique_ptr<Pass> (*create)();
  bool isModulePass;
};

class Functions : public testing::TestWithParam<FileCase> {};

TEST_P(Functions, ComputeTheSame) {
  MLIRContext context;
  context.loadDialect<lfm2::Lfm2Dialect, func::FuncDialect, arith::ArithDialect,
                      tensor::TensorDialect>();
  std::string path = LFMC_TEST_DATA "/../passes/";
  path += GetParam().file;
  auto before = parseSourceFile<ModuleOp>(path, &context);
  ASSERT_TRUE(before);
  OwningOpRef<ModuleOp> after = before->clone();
  ASSERT_TRUE(run(*after, [](OpPassManager &passes) {
    if (GetParam().isModulePass)
      passes.addPass(GetParam().create());
    else
      passes.addNestedPass<func::FuncOp>(GetParam().create());
  }));

  RandomWeights weights(*before);
  auto read = [&](lfm2::WeightOp weight, llvm::MutableArrayRef<float> values) {
    return weights.read(weight, values);
  };
  ReferenceExecutor reference(*before, read), rewritten(*after, read);
  for (auto function : before->getOps<func::FuncOp>()) {
    SCOPED_TRACE(function.getSymName().str());
    auto inputs = randomInputs(function, weights);
    auto want = check(reference.run(function.getSymName(), inputs));
    auto got = check(rewritten.run(function.getSymName(), inputs));
    ASSERT_EQ(got.outputs.size(), want.outputs.size());
    ASSERT_FALSE(want.outputs.empty());
    for (size_t i = 0; i < want.outputs.size(); ++i)
      EXPECT_LE(distance(want.outputs[i], got.outputs[i]), 2e-6) << i;
  }
}

// What the comparison above is worth: it sees a wrong rewrite.
TEST(Comparison, SeesAWrongRewrite) {
  MLIRContext context;
  context.loadDialect<lfm2::Lfm2Dialect, func::FuncDialect, arith::ArithDialect,
                      tensor::TensorDialect>();
  auto before = parseSourceFile<ModuleOp>(
      LFMC_TEST_DATA "/../passes/fuse/swiglu/doctest.mlir", &context);
  ASSERT_TRUE(before);
  OwningOpRef<ModuleOp> after = before->clone();
  after->walk([](lfm2::SwigluOp swiglu) {
    Value gate = swiglu.getGate();
    swiglu.getGateMutable().assign(swiglu.getUp());
    swiglu.getUpMutable().assign(gate);
  });
  RandomWeights weights(*before);
  auto read = [&](lfm2::WeightOp weight, llvm::MutableArrayRef<float> values) {
    return weights.read(weight, values);
  };
  auto function = *before->getOps<func::FuncOp>().begin();
  auto inputs = randomInputs(function, weights);
  auto want = check(ReferenceExecutor(*before, read).run("block", inputs));
  auto got = check(ReferenceExecutor(*after, read).run("block", inputs));
  ASSERT_EQ(want.outputs.size(), 1u);
  ASSERT_EQ(got.outputs.size(), 1u);
  EXPECT_GT(distance(want.outputs[0], got.outputs[0]), 0.1);
}

INSTANTIATE_TEST_SUITE_P(
    Files, Functions,
    testing::Values(
        FileCase{"stack/doctest.mlir", createStackLinears, true},
        FileCase{"stack/functions.mlir", createStackLinears, true},
        FileCase{"fuse/rope-cache/doctest.mlir", createFuseRopeCache, false},
        FileCase{"fuse/conv-gates/doctest.mlir", createFuseConvGates, false},
        FileCase{"fuse/conv-gates/placement.mlir", createFuseConvGates, false},
        FileCase{"fuse/swiglu/doctest.mlir", createFuseSwiglu, false},
        FileCase{"fuse/norm/doctest.mlir", createFuseNorm, false},
        FileCase{"fuse/residual/doctest.mlir", createFuseResidual, false},
        FileCase{"fuse/residual/operands.mlir", createFuseResidual, false}),
    [](const auto &info) {
      std::string name = info.param.file;
      for (char &c : name)
        c = std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
      return name;
    });

//===----------------------------------------------------------------------===//
// Whole models
//===----------------------------------------------------------------------===//

/// Hidden rows of a prompt, and the logits of two tokens after it if `decode`.
/// Compiling a function takes about a second.
std::vector<HostTensor> compute(ModuleOp module, const Checkpoint &checkpoint,
                                bool decode) {
  auto read = [&](lfm2::WeightOp weight, llvm::MutableArrayRef<float> values) {
    return readCheckpointWeight(checkpoint, weight, values);
  };
  auto model = check(ReferenceModel::create(module, read));
  std::vector<HostTensor> results;
  if (!model)
    return results;
  results.push_back(check(model->prefill({1, 17, 5, 42, 300, 7, 99})));
  if (!decode)
    return results;
  results.push_back(check(model->decode(11)));
  results.push_back(check(model->decode(256)));
  return results;
}

// Another way to read a prompt: the last row and all states are @prefill's.
// The last layer is an attention, or a convolution behind one.
class Prompts : public testing::TestWithParam<std::pair<const char *, int>> {};

TEST_P(Prompts, EndAsPrefillDoes) {
  auto [name, wantedRows] = GetParam();
  Checkpoint checkpoint = llvm::cantFail(
      Checkpoint::open(LFMC_TEST_DATA "/checkpoints/" + std::string(name)));
  MLIRContext context;
  OwningOpRef<ModuleOp> module = importLfm2(context, checkpoint, {});
  ASSERT_TRUE(module && run(*module, [](OpPassManager &passes) {
                buildGraphPipeline(passes);
                passes.addPass(createSplitPrompt());
              }));
  ReferenceExecutor executor(
      *module, [&](lfm2::WeightOp weight, llvm::MutableArrayRef<float> values) {
        return readCheckpointWeight(checkpoint, weight, values);
      });
  // States by symbol, not all in every function.
  using States = std::map<std::string, HostTensor>;
  auto step = [&](const char *name, HostTensor rows, int64_t pos,
                  States &states) -> HostTensor {
    auto function = module->lookupSymbol<func::FuncOp>(name);
    auto symbol = [](Attribute attribute) {
      return cast<FlatSymbolRefAttr>(attribute).getValue().str();
    };
    std::vector<HostTensor> inputs{std::move(rows), HostTensor::index(pos)};
    for (unsigned i = 2; i < function.getNumArguments(); ++i) {
      auto type = cast<RankedTensorType>(function.getArgumentTypes()[i]);
      auto [state, isNew] =
          states.try_emplace(symbol(function.getArgAttr(i, "lfm2.state")),
                             HostTensor::Element::F32, type.getShape());
      inputs.push_back(state->second);
    }
    auto outputs = check(executor.run(name, inputs)).outputs;
    if (outputs.size() != function.getNumResults()) {
      ADD_FAILURE() << name;
      return {};
    }
    for (unsigned i = 1; i < outputs.size(); ++i)
      states[symbol(function.getResultAttr(i, "lfm2.state"))] = outputs[i];
    return outputs[0];
  };
  auto lastRows = [](const HostTensor &rows, int64_t count) {
    HostTensor last(HostTensor::Element::F32, {count, rows.shape[1]});
    llvm::ArrayRef<float> from = rows.floats();
    llvm::copy(from.take_back(count * rows.shape[1]), last.floats().begin());
    return last;
  };

  auto end = module->lookupSymbol<func::FuncOp>("prompt_end");
  ASSERT_TRUE(end);
  const int64_t rows =
      end->getAttrOfType<IntegerAttr>("lfm2.max_tokens").getInt();
  EXPECT_EQ(rows, wantedRows);
  States want, got;
  int64_t pos = 0;
  const std::vector<int32_t> prompts[] = {{1, 17, 5, 42, 300, 7, 99},
                                          {3, 1, 4, 1, 5, 9}};
  for (const std::vector<int32_t> &ids : prompts) {
    HostTensor all = step("prefill", HostTensor::i32(ids), pos, want);
    HostTensor hidden = step("prompt", HostTensor::i32(ids), pos, got);
    HostTensor last = step("prompt_end", lastRows(hidden, rows),
                           pos + int64_t(ids.size()) - rows, got);
    EXPECT_LE(distance(lastRows(all, 1), lastRows(last, 1)), 2e-5) << pos;
    ASSERT_EQ(want.size(), got.size());
    for (auto &[name, state] : want)
      EXPECT_LE(distance(state, got[name]), 2e-5) << name;
    pos += int64_t(ids.size());
  }
}

INSTANTIATE_TEST_SUITE_P(Models, Prompts,
                         testing::Values(std::pair{"dense-b-f32", 1},
                                         std::pair{"moe-32e-bf16", 3}));

struct Step {
  const char *name;
  AddPasses add;
  bool last = false;
};

template <std::unique_ptr<Pass> (*create)()>
void addNested(OpPassManager &passes) {
  passes.addNestedPass<func::FuncOp>(create());
}

const Step steps[] = {
    {"stack", [](OpPassManager &p) { p.addPass(createStackLinears()); }},
    {"rope-cache", addNested<createFuseRopeCache>},
    {"conv-gates", addNested<createFuseConvGates>},
    {"swiglu", addNested<createFuseSwiglu>},
    {"norm", addNested<createFuseNorm>},
    {"residual", addNested<createFuseResidual>},
    {"whole pipeline", buildGraphPipeline, true}};

TEST(Models, ComputeTheSameAfterEveryPass) {
  Checkpoint checkpoint = llvm::cantFail(
      Checkpoint::open(LFMC_TEST_DATA "/checkpoints/dense-b-f32"));
  MLIRContext context;
  OwningOpRef<ModuleOp> module = importLfm2(context, checkpoint, {});
  ASSERT_TRUE(module);
  std::vector<HostTensor> want = compute(*module, checkpoint, true);
  ASSERT_EQ(want.size(), 3u);
  for (const Step &step : steps) {
    SCOPED_TRACE(step.name);
    ASSERT_TRUE(run(*module, step.add));
    std::vector<HostTensor> got = compute(*module, checkpoint, step.last);
    ASSERT_EQ(got.size(), step.last ? want.size() : 1);
    for (size_t i = 0; i < got.size(); ++i)
      EXPECT_LE(distance(want[i], got[i]), 2e-5) << i;
  }
}

} // namespace

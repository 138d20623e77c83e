// SPDX-License-Identifier: Apache-2.0
//
// The graph pipeline on whole models, in a context that only the importer and
// the passes have loaded dialects into.
#include "dialects/lfm2/Lfm2.h"
#include "frontend/ImportLfm2.h"
#include "passes/Passes.h"
#include "passes/Pipeline.h"

#include "mlir/IR/MLIRContext.h"
#include "mlir/Pass/PassManager.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

using namespace mlir;
using namespace lfmc;

namespace {

OwningOpRef<ModuleOp> import(MLIRContext &context, const std::string &path) {
  llvm::Expected<Checkpoint> checkpoint = Checkpoint::open(path);
  if (!checkpoint) {
    ADD_FAILURE() << llvm::toString(checkpoint.takeError());
    return {};
  }
  return importLfm2(context, *checkpoint, {});
}

/// Bytes of all weights that come from the checkpoint.
int64_t storedElements(ModuleOp module) {
  int64_t total = 0;
  for (auto weight : module.getOps<lfm2::WeightOp>())
    total += cast<RankedTensorType>(weight.getType()).getNumElements();
  return total;
}

/// Names of all checkpoint tensors that weights come from.
std::multiset<std::string> sources(ModuleOp module) {
  std::multiset<std::string> names;
  for (auto weight : module.getOps<lfm2::WeightOp>())
    if (auto source = dyn_cast<lfm2::SourceAttr>(weight.getSource()))
      for (StringAttr tensor : source.getTensors())
        names.insert(tensor.str());
  return names;
}

std::vector<std::string> signatures(ModuleOp module) {
  std::vector<std::string> texts;
  for (auto function : module.getOps<func::FuncOp>()) {
    llvm::raw_string_ostream stream(texts.emplace_back());
    stream << function.getSymName() << function.getFunctionType()
           << function.getArgAttrsAttr() << function.getResAttrsAttr();
  }
  for (auto state : module.getOps<lfm2::StateOp>()) {
    llvm::raw_string_ostream stream(texts.emplace_back());
    stream << state;
  }
  return texts;
}

std::map<std::string, int> countOps(ModuleOp module, StringRef function) {
  std::map<std::string, int> counts;
  module.lookupSymbol<func::FuncOp>(function).walk(
      [&](Operation *op) { ++counts[op->getName().getStringRef().str()]; });
  return counts;
}

class Graph : public testing::TestWithParam<const char *> {};

TEST_P(Graph, FusesWholeModels) {
  MLIRContext context;
  OwningOpRef<ModuleOp> module = import(context, GetParam());
  ASSERT_TRUE(module);
  auto before = countOps(*module, "decode");
  int64_t elements = storedElements(*module);
  auto names = sources(*module);
  auto interface = signatures(*module);

  PassManager passes(&context);
  buildGraphPipeline(passes);
  ASSERT_TRUE(succeeded(passes.run(*module)));

  EXPECT_EQ(storedElements(*module), elements);
  EXPECT_EQ(sources(*module), names);
  EXPECT_EQ(signatures(*module), interface);

  int layers = before["arith.addf"] / 2;
  int attentions = before["lfm2.attention"];
  ASSERT_GT(attentions, 0);
  ASSERT_GT(layers, attentions);
  for (StringRef function : {"decode", "prefill"}) {
    SCOPED_TRACE(function.str());
    bool head = function == "decode";
    auto after = countOps(*module, function);
    EXPECT_EQ(after["lfm2.linear"], 4 * layers + head);
    EXPECT_EQ(after["lfm2.rms_norm"], head ? 0 : 1);
    EXPECT_EQ(after["lfm2.rope_cache"], attentions);
    EXPECT_EQ(after["lfm2.short_conv"], layers - attentions);
    EXPECT_EQ(after["tensor.extract_slice"], 3 * layers);
    for (const char *gone : {"lfm2.swiglu", "lfm2.rope", "lfm2.cache_write",
                             "arith.addf", "arith.mulf"})
      EXPECT_EQ(after[gone], 0) << gone;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Checkpoints, Graph,
    testing::Values(LFMC_TEST_DATA "/checkpoints/dense-a-bf16",
                    LFMC_TEST_DATA "/checkpoints/dense-b-bf16-sharded",
                    LFMC_TEST_DATA "/checkpoints/dense-b-f32",
                    LFMC_EXAMPLES "/lfm2-small-dense"),
    [](const auto &info) {
      std::string name = StringRef(info.param).rsplit('/').second.str();
      std::replace(name.begin(), name.end(), '-', '_');
      return name;
    });

} // namespace

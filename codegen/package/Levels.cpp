// SPDX-License-Identifier: Apache-2.0
//
// The driver's part for libraries of several levels of one family. The best
// level chooses the layouts of the weights; the others are compiled for these.
#include "codegen/package/Driver.h"
#include "codegen/package/Symbols.h"
#include "frontend/Errors.h"
#include "passes/Pipeline.h"

using namespace llvm;

namespace lfmc {
namespace {

/// Gives the weights of `module` the types of those of the same names in
/// `chosen`.
void takeLayouts(mlir::ModuleOp module, mlir::ModuleOp chosen) {
  StringMap<mlir::RankedTensorType> types;
  for (auto weight : chosen.getOps<lfm2::WeightOp>())
    types[weight.getSymName()] = cast<mlir::RankedTensorType>(weight.getType());
  for (auto weight : module.getOps<lfm2::WeightOp>())
    if (auto type = types.lookup(weight.getSymName()))
      weight.setType(type);
  module.walk([&](lfm2::ParamOp param) {
    if (auto type = types.lookup(param.getWeight()))
      param.getResult().setType(type);
  });
}

/// Where everything lies that all levels share.
std::string places(mlir::ModuleOp module) {
  std::string text;
  raw_string_ostream stream(text);
  for (auto weight : module.getOps<lfm2::WeightOp>())
    stream << weight.getSymName() << weight.getType()
           << weight.getOffset().value_or(0) << "\n";
  for (auto state : module.getOps<lfm2::StateOp>())
    stream << state.getSymName() << state.getType() << state.getLayoutAttr()
           << state.getOffset().value_or(0) << "\n";
  return text;
}

} // namespace

std::string Compilation::targetNames() const {
  std::string names;
  for (const Level &level : levels)
    names += level.machine->name.str() + ", ";
  return names + machine->name.str();
}

Json Compilation::levelsJson() const {
  Json names = Json::array();
  for (const Level &level : levels)
    names.push_back(level.machine->name.str());
  names.push_back(machine->name.str());
  return names;
}

Error Compilation::lowerLevels() {
  for (Level &level : levels) {
    takeLayouts(*level.module, *module);
    if (Error error = run(*level.module, [&](mlir::OpPassManager &passes) {
          buildKernelPipeline(passes, level.machine->name, /*pinned=*/true);
        }))
      return error;
    if (places(*level.module) != places(*module))
      return makeError("targets {} and {} cannot share weights: --isa with "
                       "each alone works",
                       level.machine->name.str(), machine->name.str());
  }
  return Error::success();
}

Error Compilation::generateLevels(CodegenOptions codegen,
                                  std::vector<ObjectFile> &objects) {
  for (Level &level : levels) {
    std::string name = levelName(packageName, *level.machine);
    codegen.target = level.machine;
    codegen.modelName = name;
    auto generated = generateObjects(*level.module, codegen);
    if (!generated)
      return generated.takeError();
    // Kernels have the same names on all levels.
    if (Error error = hideSymbols(*generated, name))
      return error;
    for (ObjectFile &object : *generated)
      objects.push_back({level.machine->name.str() + "_" + object.name,
                         std::move(object.bytes)});
  }
  return Error::success();
}

} // namespace lfmc

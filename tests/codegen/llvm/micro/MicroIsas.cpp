// SPDX-License-Identifier: Apache-2.0
//
// The instruction sets of the LLVM microkernels, for the tests of linear_q.
// "amx_model" is x86-64-amx with every tile instruction replaced by a call of
// MatrixModel.cpp: it runs wherever the rest of the target does. "_ymm" and
// "_zmm" are VNNI's tiles where Halide's are the target's own way.
#include "tests/codegen/halide/Harness.h"

#include "codegen/llvm/Emit.h"
#include "codegen/llvm/micro/Micro.h"

#include "llvm/IR/IntrinsicInst.h"

#include <fstream>

namespace lfmc::halide::test {

const std::vector<Isa> &allIsas() {
  static const std::vector<Isa> isas = {
      {"v3_vnni", "x86-64-v3-vnni", 16, {6}},
      {"v4_ymm", "x86-64-v4-vnni", 16, {6, 12}},
      {"v4_zmm", "x86-64-v4-vnni", 32, {6}},
      {"amx", "x86-64-amx", 16, {8, 16, 64}},
      {"amx_model", "x86-64-amx", 16, {8, 16, 64}, LFMC_MATRIX_MODEL},
  };
  return isas;
}

static const Target &targetOf(const Isa &isa) {
  return *llvm::cantFail(findTarget(isa.target));
}

bool Isa::runs() const {
  return runsOnHost(*library ? *llvm::cantFail(findTarget("x86-64-v4-vnni"))
                             : targetOf(*this));
}

// Calls lfmc_test_X for the intrinsic X.
static void callModel(llvm::Module &module) {
  const std::string prefix = "llvm.x86.";
  for (llvm::Function &function : llvm::make_early_inc_range(module)) {
    const std::string name = function.getName().str();
    if (name.rfind(prefix + "t", 0) != 0 && name != prefix + "ldtilecfg")
      continue;
    llvm::FunctionCallee model = module.getOrInsertFunction(
        "lfmc_test_" + name.substr(prefix.size()), function.getFunctionType());
    for (llvm::User *user : llvm::make_early_inc_range(function.users()))
      llvm::cast<llvm::CallInst>(user)->setCalledFunction(model);
    function.eraseFromParent();
  }
}

// With the parameter "lanes" where there are whole vectors of so many rows.
static MicroKernel inLanes(MicroKernel kernel, const std::string &isa) {
  const int64_t lanes = isa == "v4_ymm" ? 8 : isa == "v4_zmm" ? 16 : 0;
  auto tile = kernel.ints.find("tile_rows");
  if (tile == kernel.ints.end())
    tile = kernel.ints.find("rows");
  if (lanes && (kernel.family == "linear_q" || kernel.family == "wide_panel") &&
      tile->second % lanes == 0)
    kernel.ints["lanes"] = lanes;
  return kernel;
}

std::string Isa::emit(const MicroKernel &given, const std::string &symbol,
                      Emit what, const std::string &path) const {
  const Target &target = targetOf(*this);
  const MicroKernel kernel = inLanes(given, name);
  if (!*library || microBackend(kernel, target) != MicroBackend::Matrix)
    return emitMicro(kernel, symbol, target, what, path);
  llvm::LLVMContext context;
  auto module = buildMicro(kernel, symbol, target, context);
  if (!module)
    return llvm::toString(module.takeError());
  callModel(**module);
  auto bytes = emitLlvm(**module, *llvm::cantFail(findTarget("x86-64-v4-vnni")),
                        EmitKind::Object, /*optimised=*/false);
  if (!bytes)
    return llvm::toString(bytes.takeError());
  std::ofstream(path, std::ios::binary).write(bytes->data(), bytes->size());
  return "";
}

} // namespace lfmc::halide::test

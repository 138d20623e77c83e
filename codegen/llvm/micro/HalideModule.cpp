// SPDX-License-Identifier: Apache-2.0
//
// Halide's kernels as generic LLVM IR, compiled by our LLVM: for Hexagon, where
// Halide's own code generator knows no floats in vectors and adds parts of its
// runtime to every object; and for Android, whose x18 it does not spare.
#include "codegen/llvm/micro/Divisions.h"
#include "codegen/llvm/micro/Micro.h"
#include "codegen/llvm/micro/Widen.h"

#include "runtime/include/lfm/program.h"

#include "llvm/AsmParser/Parser.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/SourceMgr.h"

using namespace llvm;

namespace lfmc {
Expected<std::unique_ptr<Module>>
halideModule(const halide::MicroKernel &kernel, const std::string &symbol,
             const Target &target, LLVMContext &context) {
  SmallString<128> path;
  if (std::error_code error = sys::fs::createTemporaryFile("lfmc", "ll", path))
    return createStringError("temporary file: %s", error.message().c_str());
  std::string message = halide::emit(kernel, symbol, target.halide.str(),
                                     halide::Emit::LlvmText, path.c_str());
  ErrorOr<std::unique_ptr<MemoryBuffer>> text = MemoryBuffer::getFile(path);
  sys::fs::remove(path);
  if (!message.empty())
    return createStringError("%s", message.c_str());
  if (!text)
    return createStringError("temporary file: %s",
                             text.getError().message().c_str());
  SMDiagnostic diagnostic;
  std::unique_ptr<Module> module = parseAssembly(**text, diagnostic, context);
  if (!module)
    return createStringError("microkernel '%s': Halide's LLVM IR: %s",
                             kernel.family.c_str(),
                             diagnostic.getMessage().str().c_str());
  for (Function &function : *module) {
    if (function.isDeclaration())
      continue;
    for (const char *name :
         {"target-cpu", "tune-cpu", "target-features", "target-abi"})
      function.removeFnAttr(name);
  }
  if (target.cpuFeatures & LFM_CPU_HVX_FLOAT) {
    widenVectors(*module);
    expandDivisions(*module);
  }
  return module;
}

} // namespace lfmc

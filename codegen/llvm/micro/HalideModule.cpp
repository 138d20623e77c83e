// SPDX-License-Identifier: Apache-2.0
//
// Halide's kernels as LLVM IR, compiled by our LLVM: for Hexagon, where Halide
// adds parts of its runtime and locks to every object, and knows no floats in
// HVX.
#include "codegen/llvm/micro/Micro.h"

#include "llvm/AsmParser/Parser.h"
#include "llvm/IR/Instructions.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/SourceMgr.h"

using namespace llvm;

namespace lfmc {

/// Makes `function` return 0 without doing anything.
static void makeTrivial(Function &function) {
  function.deleteBody();
  function.setComdat(nullptr);
  function.setLinkage(GlobalValue::InternalLinkage);
  auto *entry = BasicBlock::Create(function.getContext(), "", &function);
  Type *type = function.getReturnType();
  ReturnInst::Create(function.getContext(),
                     type->isVoidTy() ? nullptr : Constant::getNullValue(type),
                     entry);
}

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
  // The thread that enters the program owns a vector context.
  for (const char *lock : {"halide_qurt_hvx_lock", "halide_qurt_hvx_unlock",
                           "halide_qurt_hvx_unlock_as_destructor"})
    if (Function *function = module->getFunction(lock))
      makeTrivial(*function);
  for (Function &function : *module) {
    if (function.isDeclaration())
      continue;
    if (function.getName() != symbol) {
      function.setComdat(nullptr);
      function.setLinkage(GlobalValue::InternalLinkage);
    }
    for (const char *name :
         {"target-cpu", "tune-cpu", "target-features", "frame-pointer"})
      function.removeFnAttr(name);
  }
  return module;
}

} // namespace lfmc

// SPDX-License-Identifier: Apache-2.0
#include "codegen/llvm/Emit.h"

#include "mlir/Target/LLVMIR/Dialect/Builtin/BuiltinToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/LLVMIR/LLVMToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Export.h"
#include "llvm/IR/LegacyPassManager.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Passes/PassBuilder.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Target/TargetMachine.h"

#include <mutex>

namespace lfmc {

static llvm::Expected<std::unique_ptr<llvm::TargetMachine>>
createMachine(const Target &target) {
  static std::once_flag once;
  std::call_once(once, [] {
    llvm::InitializeAllTargetInfos();
    llvm::InitializeAllTargets();
    llvm::InitializeAllTargetMCs();
    llvm::InitializeAllAsmPrinters();
    llvm::InitializeAllAsmParsers(); // of inline assembly
  });
  llvm::Triple triple(target.triple);
  std::string error;
  const llvm::Target *llvmTarget =
      llvm::TargetRegistry::lookupTarget(triple, error);
  if (!llvmTarget)
    return llvm::createStringError("target %s: %s", target.name.str().c_str(),
                                   error.c_str());
  std::unique_ptr<llvm::TargetMachine> machine(
      llvmTarget->createTargetMachine(triple, target.cpu, target.features,
                                      llvm::TargetOptions(), llvm::Reloc::PIC_,
                                      std::nullopt,
                                      llvm::CodeGenOptLevel::Default));
  if (!machine)
    return llvm::createStringError("target %s: LLVM has no code generator",
                                   target.name.str().c_str());
  return machine;
}

static void optimise(llvm::Module &module, llvm::TargetMachine &machine) {
  llvm::LoopAnalysisManager loops;
  llvm::FunctionAnalysisManager functions;
  llvm::CGSCCAnalysisManager sccs;
  llvm::ModuleAnalysisManager modules;
  llvm::PassBuilder passes(&machine);
  passes.registerModuleAnalyses(modules);
  passes.registerCGSCCAnalyses(sccs);
  passes.registerFunctionAnalyses(functions);
  passes.registerLoopAnalyses(loops);
  passes.crossRegisterProxies(loops, functions, sccs, modules);
  passes.buildPerModuleDefaultPipeline(llvm::OptimizationLevel::O2)
      .run(module, modules);
}

llvm::Expected<llvm::SmallVector<char, 0>>
emitLlvm(llvm::Module &module, const Target &target, EmitKind kind,
         bool optimised) {
  llvm::Expected<std::unique_ptr<llvm::TargetMachine>> machine =
      createMachine(target);
  if (!machine)
    return machine.takeError();
  module.setTargetTriple(llvm::Triple(target.triple));
  module.setDataLayout((*machine)->createDataLayout());
  for (llvm::Function &function : module) {
    if (function.isDeclaration())
      continue;
    function.addFnAttr("target-cpu", target.cpu);
    function.addFnAttr("target-features", target.features);
    // Loops must not become calls of memset or memcpy.
    function.addFnAttr("no-builtins");
    function.addFnAttr(llvm::Attribute::NoUnwind);
  }
  if (optimised)
    optimise(module, **machine);

  llvm::SmallVector<char, 0> bytes;
  llvm::raw_svector_ostream stream(bytes);
  if (kind == EmitKind::LlvmText) {
    module.print(stream, nullptr);
    return bytes;
  }
  llvm::legacy::PassManager emitter;
  auto fileType = kind == EmitKind::Object ? llvm::CodeGenFileType::ObjectFile
                                           : llvm::CodeGenFileType::AssemblyFile;
  if ((*machine)->addPassesToEmitFile(emitter, stream, nullptr, fileType))
    return llvm::createStringError("target %s: LLVM cannot emit this file type",
                                   target.name.str().c_str());
  emitter.run(module);
  return bytes;
}

llvm::Expected<llvm::SmallVector<char, 0>>
emitMlir(mlir::ModuleOp module, const Target &target, EmitKind kind) {
  mlir::registerBuiltinDialectTranslation(*module.getContext());
  mlir::registerLLVMDialectTranslation(*module.getContext());
  llvm::LLVMContext context;
  std::unique_ptr<llvm::Module> translated =
      mlir::translateModuleToLLVMIR(module, context, "program");
  if (!translated)
    return llvm::createStringError("translation to LLVM IR failed");
  return emitLlvm(*translated, target, kind);
}

} // namespace lfmc

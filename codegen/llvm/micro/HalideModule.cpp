// SPDX-License-Identifier: Apache-2.0
//
// Halide's kernels as generic LLVM IR, compiled by our LLVM: for Hexagon, where
// Halide's own code generator knows no floats in vectors and adds parts of its
// runtime to every object.
#include "codegen/llvm/micro/Micro.h"
#include "codegen/llvm/micro/Widen.h"

#include "runtime/include/lfm/program.h"

#include "llvm/AsmParser/Parser.h"
#include "llvm/IR/IRBuilder.h"
#include "llvm/IR/InstIterator.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/SourceMgr.h"

using namespace llvm;

namespace lfmc {
namespace {

/// 1 / x: an estimate by the exponent's negation, three steps.
Value *reciprocal(IRBuilder<> &b, Value *x) {
  auto *type = cast<FixedVectorType>(x->getType());
  auto *integers = FixedVectorType::get(b.getInt32Ty(), type);
  Value *bits = b.CreateSub(ConstantInt::get(integers, 0x7ef311c3),
                            b.CreateBitCast(x, integers));
  Value *result = b.CreateBitCast(bits, type);
  for (int step = 0; step < 3; ++step) {
    Value *rest =
        b.CreateFSub(ConstantFP::get(type, 2), b.CreateFMul(x, result));
    result = b.CreateFMul(result, rest);
  }
  return result;
}

/// Divides vectors of floats by Newton's method where the processor divides no
/// vectors: quotients are within some units in the last place; by divisors of
/// 2^125 and more they are 0.
void expandDivisions(Module &module) {
  for (Function &function : module)
    for (Instruction &instruction :
         make_early_inc_range(instructions(function))) {
      auto *type = dyn_cast<FixedVectorType>(instruction.getType());
      if (instruction.getOpcode() != Instruction::FDiv || !type ||
          !type->getElementType()->isFloatTy())
        continue;
      IRBuilder<> b(&instruction);
      Value *x = instruction.getOperand(0), *y = instruction.getOperand(1);
      Value *inverse = reciprocal(b, y);
      Value *quotient = b.CreateFMul(x, inverse);
      Value *rest = b.CreateFSub(x, b.CreateFMul(quotient, y));
      instruction.replaceAllUsesWith(
          b.CreateFAdd(quotient, b.CreateFMul(rest, inverse)));
      instruction.eraseFromParent();
    }
}

} // namespace

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

// SPDX-License-Identifier: Apache-2.0
#include "codegen/llvm/micro/Divisions.h"

#include "llvm/IR/IRBuilder.h"
#include "llvm/IR/InstIterator.h"

using namespace llvm;

namespace lfmc {

/// 1 / x: an estimate by the exponent's negation, three steps. Where there is
/// no normal number of that exponent, 0.
static Value *reciprocal(IRBuilder<> &b, Value *x) {
  auto *type = cast<FixedVectorType>(x->getType());
  auto *integers = FixedVectorType::get(b.getInt32Ty(), type);
  Value *bits = b.CreateBitCast(x, integers);
  Value *sign = b.CreateAnd(bits, ConstantInt::get(integers, 0x80000000));
  Value *estimate = b.CreateBinaryIntrinsic(
      Intrinsic::usub_sat, ConstantInt::get(integers, 0x7ef311c3),
      b.CreateAnd(bits, ConstantInt::get(integers, 0x7fffffff)));
  Value *result = b.CreateBitCast(b.CreateOr(estimate, sign), type);
  for (int step = 0; step < 3; ++step) {
    Value *rest =
        b.CreateFSub(ConstantFP::get(type, 2), b.CreateFMul(x, result));
    result = b.CreateFMul(result, rest);
  }
  return result;
}

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

} // namespace lfmc

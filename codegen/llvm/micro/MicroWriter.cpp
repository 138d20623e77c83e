// SPDX-License-Identifier: Apache-2.0
#include "codegen/llvm/micro/MicroWriter.h"

#include "llvm/IR/IntrinsicInst.h"

using namespace llvm;

namespace lfmc {

MicroWriter::MicroWriter(Module &module, StringRef symbol, unsigned buffers,
                         int64_t pointerBytes, unsigned scalars)
    : b(module.getContext()),
      indexType(b.getIntNTy(unsigned(pointerBytes) * 8)) {
  SmallVector<Type *> types(buffers, b.getPtrTy());
  types.append(scalars, b.getInt32Ty());
  function = Function::Create(FunctionType::get(b.getInt32Ty(), types, false),
                              GlobalValue::ExternalLinkage, symbol, module);
  b.SetInsertPoint(BasicBlock::Create(b.getContext(), "entry", function));
  // halide_buffer_t: `host` follows the device handle and its interface.
  for (Argument &argument : function->args())
    if (argument.getType()->isPointerTy())
      memory.push_back(b.CreateAlignedLoad(
          b.getPtrTy(), at(&argument, 8 + pointerBytes), Align(pointerBytes)));
    else
      numbers.push_back(b.CreateSExt(&argument, indexType));
}

void MicroWriter::finish() { b.CreateRet(b.getInt32(0)); }

void MicroWriter::limitVectors(int64_t bits) {
  for (const char *name : {"prefer-vector-width", "min-legal-vector-width"})
    function->addFnAttr(name, std::to_string(bits));
}

Value *MicroWriter::at(Value *pointer, int64_t bytes) {
  return b.CreateConstGEP1_64(b.getInt8Ty(), pointer, bytes);
}

Value *MicroWriter::at(Value *pointer, Value *index, int64_t bytes) {
  return b.CreateGEP(b.getInt8Ty(), pointer,
                     b.CreateMul(index, this->index(bytes)));
}

Value *MicroWriter::load(Type *type, Value *pointer) {
  return b.CreateAlignedLoad(type, pointer, Align(1));
}

void MicroWriter::store(Value *value, Value *pointer) {
  b.CreateAlignedStore(value, pointer, Align(1));
}

Value *MicroWriter::stack(int64_t bytes) {
  IRBuilder<>::InsertPointGuard guard(b);
  b.SetInsertPoint(&function->getEntryBlock(),
                   function->getEntryBlock().begin());
  AllocaInst *memory = b.CreateAlloca(ArrayType::get(b.getInt8Ty(), bytes));
  memory->setAlignment(Align(64));
  return memory;
}

AllocaInst *MicroWriter::local(Type *type) {
  IRBuilder<>::InsertPointGuard guard(b);
  b.SetInsertPoint(&function->getEntryBlock(),
                   function->getEntryBlock().begin());
  return b.CreateAlloca(type);
}

void MicroWriter::prefetch(Value *pointer) {
  b.CreateIntrinsic(b.getVoidTy(), Intrinsic::prefetch,
                    {pointer, b.getInt32(0), b.getInt32(3), b.getInt32(1)});
}

Value *MicroWriter::intrinsic(Intrinsic::ID id, ArrayRef<Value *> arguments) {
  Function *declared =
      Intrinsic::getOrInsertDeclaration(function->getParent(), id);
  Values cast;
  for (auto [argument, parameter] : zip(arguments, declared->args()))
    cast.push_back(b.CreateBitCast(argument, parameter.getType()));
  return b.CreateCall(declared, cast);
}

Value *MicroWriter::fma(Value *x, Value *y, Value *z) {
  return b.CreateIntrinsic(Intrinsic::fma, {x->getType()}, {x, y, z});
}

Constant *MicroWriter::all(Type *type, double value) {
  if (type->isFPOrFPVectorTy())
    return ConstantFP::get(type, value);
  return ConstantInt::getSigned(type, int64_t(value));
}

Value *MicroWriter::part(Value *vector, int64_t first, int64_t count) {
  SmallVector<int> mask;
  for (int64_t i = 0; i < count; ++i)
    mask.push_back(first + i);
  return b.CreateShuffleVector(vector, mask);
}

Value *MicroWriter::join(ArrayRef<Value *> vectors) {
  if (vectors.size() == 1)
    return vectors[0];
  size_t half = vectors.size() / 2;
  Value *first = join(vectors.take_front(half));
  Value *second = join(vectors.drop_front(half));
  auto *type = cast<FixedVectorType>(first->getType());
  SmallVector<int> mask;
  for (unsigned i = 0; i < 2 * type->getNumElements(); ++i)
    mask.push_back(int(i));
  return b.CreateShuffleVector(first, second, mask);
}

Values MicroWriter::loop(Value *from, Value *to, int64_t step, Values carried,
                         function_ref<Values(Value *, Values)> body) {
  BasicBlock *before = b.GetInsertBlock();
  BasicBlock *block = BasicBlock::Create(b.getContext(), "loop", function);
  b.CreateBr(block);
  b.SetInsertPoint(block);
  PHINode *index = b.CreatePHI(indexType, 2);
  index->addIncoming(from, before);
  SmallVector<PHINode *> phis;
  for (Value *&value : carried) {
    phis.push_back(b.CreatePHI(value->getType(), 2));
    phis.back()->addIncoming(value, before);
    value = phis.back();
  }
  Values next = body(index, carried);
  Value *following = b.CreateAdd(index, this->index(step), "", /*HasNUW=*/true,
                                 /*HasNSW=*/true);
  index->addIncoming(following, b.GetInsertBlock());
  for (auto [phi, value] : zip(phis, next))
    phi->addIncoming(value, b.GetInsertBlock());
  BasicBlock *after = BasicBlock::Create(b.getContext(), "after", function);
  b.CreateCondBr(b.CreateICmpSLT(following, to), block, after);
  b.SetInsertPoint(after);
  return next;
}

Values MicroWriter::loopIfAny(Value *from, Value *to, int64_t step,
                              Values carried,
                              function_ref<Values(Value *, Values)> body) {
  BasicBlock *before = b.GetInsertBlock();
  BasicBlock *some = BasicBlock::Create(b.getContext(), "some", function);
  BasicBlock *join = BasicBlock::Create(b.getContext(), "join", function);
  b.CreateCondBr(b.CreateICmpSLT(from, to), some, join);
  b.SetInsertPoint(some);
  Values after = loop(from, to, step, carried, body);
  BasicBlock *end = b.GetInsertBlock();
  b.CreateBr(join);
  b.SetInsertPoint(join);
  for (auto [value, looped] : zip(carried, after)) {
    PHINode *phi = b.CreatePHI(value->getType(), 2);
    phi->addIncoming(value, before);
    phi->addIncoming(looped, end);
    value = phi;
  }
  return carried;
}

void MicroWriter::loop(int64_t count, function_ref<void(Value *)> body) {
  if (count == 1)
    return body(index(0));
  loop(index(0), index(count), 1, {}, [&](Value *index, Values none) {
    body(index);
    return none;
  });
}

// halide::expF32, operation by operation.
static Value *exponential(MicroWriter &w, Value *x) {
  IRBuilder<> &b = w.b;
  Type *type = x->getType();
  Type *integers = type->getWithNewType(b.getInt32Ty());
  auto constant = [&](float value) { return w.all(type, value); };
  auto multiply = [&](Value *value, float factor) {
    return b.CreateFMul(value, constant(factor));
  };
  Value *c =
      b.CreateSelect(b.CreateFCmpOLT(x, constant(88.37f)), x, constant(88.37f));
  c = b.CreateSelect(b.CreateFCmpOGT(c, constant(-88.0f)), c, constant(-88.0f));
  const float magic = 12582912.0f;
  Value *shifted = b.CreateFAdd(multiply(c, 1.44269504f), constant(magic));
  Value *n = b.CreateFSub(shifted, constant(magic));
  Value *r = b.CreateFSub(b.CreateFSub(c, multiply(n, 0.693145751953125f)),
                          multiply(n, 1.428606765330187e-06f));
  Value *q = constant(0.000198910798644647f);
  for (float a : {0.0013933731243014336f, 0.00833331048488617f,
                  0.041666463017463684f, 0.1666666716337204f, 0.5f})
    q = b.CreateFAdd(b.CreateFMul(q, r), constant(a));
  Value *p = b.CreateFAdd(b.CreateFAdd(b.CreateFMul(q, b.CreateFMul(r, r)), r),
                          constant(1.0f));
  Value *bits = b.CreateSub(b.CreateBitCast(shifted, integers),
                            w.all(integers, bit_cast<int32_t>(magic)));
  Value *scale = b.CreateBitCast(
      b.CreateShl(b.CreateAdd(bits, w.all(integers, 127)), w.all(integers, 23)),
      type);
  return b.CreateSelect(b.CreateFCmpOLT(x, constant(-87.33f)), constant(0.0f),
                        b.CreateFMul(p, scale));
}

Value *silu(MicroWriter &w, Value *x) {
  Value *e = exponential(w, w.b.CreateFNeg(x));
  return w.b.CreateFDiv(x, w.b.CreateFAdd(w.all(x->getType(), 1), e));
}

} // namespace lfmc

// SPDX-License-Identifier: Apache-2.0
#include "codegen/llvm/MacroBuilder.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "runtime/include/lfm/program.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/xxhash.h"
#include "llvm/TargetParser/Triple.h"

using namespace mlir;

namespace lfmc {

std::string MicroKernels::add(const halide::MicroKernel &kernel) {
  std::string text = kernel.family;
  llvm::raw_string_ostream stream(text);
  for (auto &[name, value] : kernel.ints)
    stream << ' ' << name << '=' << value;
  for (auto &[name, value] : kernel.doubles)
    stream << ' ' << name << '=' << llvm::format("%.17g", value);
  std::string symbol =
      "lfm_" + kernel.family + "_" +
      llvm::utohexstr(llvm::xxh3_64bits(text), /*LowerCase=*/true, 16);
  table.emplace(symbol, kernel);
  return symbol;
}

Type MacroBuilder::pointerType() {
  return LLVM::LLVMPointerType::get(b.getContext());
}

int64_t MacroBuilder::pointerBytes() const {
  return llvm::Triple(target.triple).getArchPointerBitWidth() / 8;
}

SmallVector<Value> MacroBuilder::beginFunction(StringRef name,
                                               TypeRange types) {
  b.setInsertionPointToEnd(out.getBody());
  function = LLVM::LLVMFuncOp::create(
      b, loc, name,
      LLVM::LLVMFunctionType::get(LLVM::LLVMVoidType::get(b.getContext()),
                                  SmallVector<Type>(types)),
      LLVM::Linkage::Internal);
  Block *entry = function.addEntryBlock(b);
  b.setInsertionPointToStart(entry);
  bufferSlots.clear();
  return SmallVector<Value>(entry->getArguments());
}

SmallVector<Value> MacroBuilder::beginMacro(StringRef name, unsigned pointers) {
  SmallVector<Type> types(pointers, pointerType());
  types.append(3, b.getI64Type()); // n, pos, chunk
  return beginFunction(name, types);
}

void MacroBuilder::finishFunction() {
  LLVM::ReturnOp::create(b, loc, ValueRange());
}

Value MacroBuilder::i64(int64_t value) {
  return arith::ConstantOp::create(b, loc, b.getI64IntegerAttr(value));
}
Value MacroBuilder::add(Value x, Value y) {
  return arith::AddIOp::create(b, loc, x, y);
}
Value MacroBuilder::sub(Value x, Value y) {
  return arith::SubIOp::create(b, loc, x, y);
}
Value MacroBuilder::mul(Value x, int64_t y) {
  return arith::MulIOp::create(b, loc, x, i64(y));
}
Value MacroBuilder::div(Value x, int64_t y) {
  return y == 1 ? x : arith::DivUIOp::create(b, loc, x, i64(y)).getResult();
}
Value MacroBuilder::rem(Value x, int64_t y) {
  return arith::RemUIOp::create(b, loc, x, i64(y));
}
Value MacroBuilder::min(Value x, Value y) {
  return arith::MinSIOp::create(b, loc, x, y);
}
Value MacroBuilder::less(Value x, Value y) {
  return arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt, x, y);
}

Value MacroBuilder::select(Value condition, Value x, Value y) {
  return arith::SelectOp::create(b, loc, condition, x, y);
}

Value MacroBuilder::at(Value pointer, Value bytes) {
  return LLVM::GEPOp::create(b, loc, pointerType(), b.getI8Type(), pointer,
                             ValueRange{bytes});
}
Value MacroBuilder::at(Value pointer, int64_t bytes) {
  return bytes == 0 ? pointer : at(pointer, i64(bytes));
}
Value MacroBuilder::at(Value pointer, Value index, int64_t bytes) {
  return at(pointer, mul(index, bytes));
}
Value MacroBuilder::load(Type type, Value pointer) {
  return LLVM::LoadOp::create(b, loc, type, pointer);
}
Value MacroBuilder::toI64(Value value) {
  return arith::ExtSIOp::create(b, loc, b.getI64Type(), value);
}
Value MacroBuilder::toI32(Value value) {
  return arith::TruncIOp::create(b, loc, b.getI32Type(), value);
}

Value MacroBuilder::stack(int64_t bytes) {
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(&function.front());
  return LLVM::AllocaOp::create(b, loc, pointerType(), b.getI8Type(),
                                i64(bytes), /*alignment=*/64);
}

void MacroBuilder::prefetch(Value pointer, int64_t bytes) {
  if (target.cpuFeatures & LFM_CPU_HVX) {
    // One instruction fetches a box: height, width and stride in 16 bits each.
    constexpr int64_t width = 256;
    Value box = i64(width << 32 | width << 16 | bytes / width);
    LLVM::CallIntrinsicOp::create(b, loc,
                                  b.getStringAttr("llvm.hexagon.Y5.l2fetch"),
                                  ValueRange{pointer, box});
    return;
  }
  constexpr int64_t line = 64;
  loop(i64(0), i64(bytes), line, [&](Value offset) {
    LLVM::Prefetch::create(b, loc, at(pointer, offset), /*rw=*/0, /*hint=*/2,
                           /*cache=*/1);
  });
}

void MacroBuilder::copy(Value to, Value from, int64_t bytes) {
  const int64_t step = std::min<int64_t>(64, bytes & -bytes);
  auto type = VectorType::get({step}, b.getI8Type());
  loop(i64(0), i64(bytes), step, [&](Value offset) {
    Value value =
        LLVM::LoadOp::create(b, loc, type, at(from, offset), /*alignment=*/1);
    LLVM::StoreOp::create(b, loc, value, at(to, offset), /*alignment=*/1);
  });
}

void MacroBuilder::fill(Value pointer, int64_t count, float value) {
  Value constant = arith::ConstantOp::create(b, loc, b.getF32FloatAttr(value));
  loop(i64(0), i64(count), 1, [&](Value i) {
    LLVM::StoreOp::create(b, loc, constant, at(pointer, i, 4));
  });
}

void MacroBuilder::loop(Value from, Value to, int64_t step,
                        llvm::function_ref<void(Value)> body) {
  loop(from, to, step, ValueRange(),
       [&](Value iv, ValueRange) -> SmallVector<Value> {
         body(iv);
         return {};
       });
}

SmallVector<Value> MacroBuilder::loop(
    Value from, Value to, int64_t step, ValueRange carried,
    llvm::function_ref<SmallVector<Value>(Value, ValueRange)> body) {
  auto op = scf::ForOp::create(b, loc, from, to, i64(step), carried);
  {
    OpBuilder::InsertionGuard guard(b);
    Block *block = op.getBody();
    if (block->mightHaveTerminator())
      block->back().erase();
    b.setInsertionPointToEnd(block);
    SmallVector<Value> next =
        body(op.getInductionVar(), op.getRegionIterArgs());
    scf::YieldOp::create(b, loc, next);
  }
  return SmallVector<Value>(op.getResults());
}

void MacroBuilder::ifThen(Value condition, llvm::function_ref<void()> body) {
  auto op = scf::IfOp::create(b, loc, condition, /*withElseRegion=*/false);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPoint(op.thenBlock()->getTerminator());
  body();
}

void MacroBuilder::tiles(Value n, ArrayRef<int64_t> sizes,
                         llvm::function_ref<void(Value, int64_t)> body) {
  Value done = i64(0);
  for (int64_t size : sizes) {
    Value end = add(done, floorTo(sub(n, done), size));
    loop(done, end, size, [&](Value first) { body(first, size); });
    done = end;
  }
}

void MacroBuilder::call(const halide::MicroKernel &kernel, ValueRange buffers,
                        ValueRange scalars) {
  // Only `host` of a halide_buffer_t is read (MicroKernel.h): it follows the
  // 8-byte device handle and the device interface pointer.
  const int64_t hostOffset = 8 + pointerBytes(), bufferBytes = 64;
  SmallVector<Value> operands;
  for (auto [index, buffer] : llvm::enumerate(buffers)) {
    if (bufferSlots.size() == index)
      bufferSlots.push_back(stack(bufferBytes));
    LLVM::StoreOp::create(b, loc, buffer, at(bufferSlots[index], hostOffset));
    operands.push_back(bufferSlots[index]);
  }
  operands.append(scalars.begin(), scalars.end());
  std::string symbol = micros.add(kernel);
  auto declared = out.lookupSymbol<LLVM::LLVMFuncOp>(symbol);
  if (!declared) {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(out.getBody());
    SmallVector<Type> types;
    for (Value operand : operands)
      types.push_back(operand.getType());
    declared = LLVM::LLVMFuncOp::create(
        b, loc, symbol, LLVM::LLVMFunctionType::get(b.getI32Type(), types));
  }
  LLVM::CallOp::create(b, loc, declared, operands);
}

} // namespace lfmc

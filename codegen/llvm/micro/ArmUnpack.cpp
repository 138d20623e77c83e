// SPDX-License-Identifier: Apache-2.0
//
// Weights of the arm64 kernels: codes of four rows as vectors for sdot.
#include "codegen/llvm/micro/ArmTile.h"

#include "llvm/IR/InlineAsm.h"

using namespace llvm;

namespace lfmc {

Value *ArmWeights::exactly(StringRef text, Type *type, ArrayRef<Value *> inputs,
                           bool updates) {
  std::string constraints = "=w";
  SmallVector<Type *> types;
  for (Value *input : inputs) {
    constraints += updates && types.empty() ? ",0" : ",w";
    types.push_back(input->getType());
  }
  auto *function = FunctionType::get(type, types, false);
  return b.CreateCall(InlineAsm::get(function, text, constraints,
                                     /*hasSideEffects=*/true),
                      inputs);
}

void ArmWeights::prepare() {
  if (layout.isQ8())
    return;
  nibble = exactly("movi $0.16b, #15", bytes(), {});
  if (layout.isQ6())
    twos = exactly("movi $0.16b, #51", bytes(), {});
}

void ArmWeights::unpack(Codes &c, int stage) {
  auto shifted = [&](Value *from, int bits) {
    return exactly("ushr $0.16b, $1.16b, #" + std::to_string(bits), bytes(),
                   {from});
  };
  auto masked = [&](Value *from, Value *mask) {
    return exactly("and $0.16b, $1.16b, $2.16b", bytes(), {from, mask});
  };
  if (layout.isQ8()) {
    c.codes = c.low;
  } else if (!layout.isQ6()) {
    if (stage == 0)
      c.codes = {nullptr, shifted(c.low[0], 4)};
    else if (stage == 1)
      c.codes[0] = masked(c.low[0], nibble);
  } else if (stage == 0) {
    c.codes = {nullptr, shifted(c.low[0], 4), nullptr, shifted(c.top, 2)};
  } else if (stage == 1) {
    // Two bits of each of four groups in a byte: those of the even groups, and
    // those of the odd ones, at the lower ends of nibbles.
    c.top = masked(c.top, twos);
    c.codes[3] = masked(c.codes[3], twos);
  } else {
    // The upper nibbles are where their codes want them; the lower ones are
    // shifted and inserted.
    auto insert = [&](const char *name, Value *into, Value *bits) {
      return exactly(std::string(name) + " $0.16b, $2.16b, #4", bytes(),
                     {into, bits}, true);
    };
    c.codes[0] = insert("sli", c.low[0], c.top);
    c.codes[1] = insert("sli", c.codes[1], c.codes[3]);
    c.codes[3] = insert("sri", c.codes[3], c.low[1]);
    c.codes[2] = exactly("bif $0.16b, $2.16b, $3.16b", bytes(),
                         {c.low[1], c.top, nibble}, true);
  }
}

Values ArmWeights::codes(Value *low, Value *top, int first, int64_t vector) {
  auto load = [&](Value *from, int64_t group) {
    return w.load(bytes(), w.at(from, group * layout.rows * 4 + vector * 16));
  };
  Codes c;
  const int bits = layout.isQ8() ? 1 : 2; // groups in a byte
  for (int i = 0; i < together(); i += bits)
    c.low.push_back(load(low, (first + i) / bits));
  if (layout.isQ6())
    c.top = load(top, first / 4);
  for (int stage = 0; stage < stages; ++stage)
    unpack(c, stage);
  return c.codes;
}

Value *ArmWeights::scales(Value *pointer, int64_t vector) {
  return q.halves(w.at(pointer, vector * 8), 4);
}

} // namespace lfmc

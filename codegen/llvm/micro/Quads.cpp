// SPDX-License-Identifier: Apache-2.0
//
// The family quads: rows of four tokens as smmla reads them (ArmTile.h).
#include "codegen/llvm/micro/ArmTile.h"

using namespace llvm;

namespace lfmc {

/// quads(rows, quad), parameters k: columns; group: those that share a scale.
void buildQuads(Module &module, StringRef symbol, int64_t k, int64_t group) {
  MicroWriter w(module, symbol, 2);
  IRBuilder<> &b = w.b;
  const int64_t rowBytes = k + k / 4;
  Type *four = w.vector(b.getInt32Ty(), 4);
  w.loop(k / 32, [&](Value *block) {
    Value *from = w.hosts()[0], *to = w.at(w.hosts()[1], block, quadBlockBytes);
    for (int64_t pair = 0; pair < 2; ++pair)
      for (int64_t half = 0; half < 2; ++half) {
        Values tokens;
        for (int64_t t = 0; t < 2; ++t)
          tokens.push_back(w.load(
              four, w.at(w.at(from, (pair * 2 + t) * rowBytes + half * 16),
                         block, 32)));
        for (int odd = 0; odd < 2; ++odd)
          w.store(b.CreateShuffleVector(tokens[0], tokens[1],
                                        {odd, odd + 2, odd + 4, odd + 6}),
                  w.at(to, pair * 64 + half * 32 + odd * 16));
      }
    for (int64_t t = 0; t < 4; ++t) {
      Value *row = w.at(w.at(from, t * rowBytes + k),
                        b.CreateUDiv(block, w.index(group / 32)), 4);
      Value *scale = w.load(w.f32(), row);
      Value *sum = w.load(b.getInt32Ty(), w.at(row, k / 8));
      w.store(scale, w.at(to, quadScales + t * 4));
      w.store(b.CreateFMul(b.CreateSIToFP(sum, w.f32()), scale),
              w.at(to, quadSums + t * 4));
    }
  });
  w.finish();
}

} // namespace lfmc

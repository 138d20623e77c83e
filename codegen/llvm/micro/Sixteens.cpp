// SPDX-License-Identifier: Apache-2.0
//
// The family sixteens: rows of sixteen tokens as SME's outer products read
// them (ArmOuter.cpp). A sixteen has the bytes of its rows: codes [4 columns
// each][16 tokens][4], then scales [group][16 tokens] in f32; sums are not
// kept.
#include "codegen/llvm/micro/ArmOuter.h"

using namespace llvm;

namespace lfmc {

/// sixteens(rows, place), parameters k: columns; group: those that share a
/// scale. Four rows to a sixteen; `place` is its first byte for the first of
/// them, four bytes a token behind the sixteen's.
void buildSixteens(Module &module, StringRef symbol, int64_t k, int64_t group) {
  MicroWriter w(module, symbol, 2);
  IRBuilder<> &b = w.b;
  const int64_t rowBytes = k + k / 4, step = outerLanes * 4;
  Value *from = w.hosts()[0], *to = w.hosts()[1];
  Type *four = w.vector(b.getInt32Ty(), 4), *two = w.vector(b.getInt64Ty(), 2);
  auto shuffle = [&](Value *x, Value *y, ArrayRef<int> mask, Type *type) {
    return b.CreateShuffleVector(b.CreateBitCast(x, type),
                                 b.CreateBitCast(y, type), mask);
  };
  w.loop(k / 16, [&](Value *index) {
    Value *row = w.at(from, index, 16), *place = w.at(to, index, 4 * step);
    Values rows;
    for (int64_t t = 0; t < 4; ++t)
      rows.push_back(w.load(four, w.at(row, t * rowBytes)));
    // A transposition of words.
    for (int half = 0; half < 2; ++half) {
      const int first = half * 2;
      const int words[] = {first, first + 4, first + 1, first + 5};
      Value *low = shuffle(rows[0], rows[1], words, four);
      Value *high = shuffle(rows[2], rows[3], words, four);
      for (int i = 0; i < 2; ++i)
        w.store(shuffle(low, high, {i, i + 2}, two),
                w.at(place, (first + i) * step));
    }
  });
  w.loop(k / group, [&](Value *index) {
    for (int64_t t = 0; t < 4; ++t)
      w.store(w.load(w.f32(), w.at(w.at(from, t * rowBytes + k), index, 4)),
              w.at(w.at(to, k * outerLanes + t * 4), index, step));
  });
  w.finish();
}

} // namespace lfmc

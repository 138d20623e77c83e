// SPDX-License-Identifier: Apache-2.0
//
// Offsets for buffers whose lifetimes are known.
#ifndef LFMC_PASSES_PLAN_ARENA_H
#define LFMC_PASSES_PLAN_ARENA_H

#include <cstdint>
#include <vector>

namespace lfmc {

/// Places blocks so that those alive at the same time do not overlap: largest
/// first, each at the lowest gap that fits it.
class Arena {
public:
  /// A block of `bytes`, alive from step `first` to step `last` (inclusive).
  /// Returns its index.
  unsigned add(int64_t bytes, int64_t first, int64_t last);
  /// Makes block `index` alive at `step`, too.
  void extend(unsigned index, int64_t step);
  /// Computes all offsets; multiples of `alignment`.
  void commit(int64_t alignment = 64);
  int64_t offset(unsigned index) const { return blocks[index].offset; }
  /// Bytes that hold all blocks.
  int64_t size() const { return total; }

private:
  struct Block {
    int64_t bytes, first, last, offset;
  };
  std::vector<Block> blocks;
  int64_t total = 0;
};

} // namespace lfmc

#endif // LFMC_PASSES_PLAN_ARENA_H

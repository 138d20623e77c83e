// SPDX-License-Identifier: Apache-2.0
#include "passes/plan/Arena.h"

#include <algorithm>
#include <numeric>

namespace lfmc {

unsigned Arena::add(int64_t bytes, int64_t first, int64_t last) {
  blocks.push_back({bytes, first, last, 0});
  return unsigned(blocks.size() - 1);
}

void Arena::extend(unsigned index, int64_t step) {
  Block &block = blocks[index];
  block.first = std::min(block.first, step);
  block.last = std::max(block.last, step);
}

void Arena::commit(int64_t alignment) {
  std::vector<unsigned> order(blocks.size());
  std::iota(order.begin(), order.end(), 0u);
  std::stable_sort(order.begin(), order.end(), [&](unsigned a, unsigned b) {
    return blocks[a].bytes > blocks[b].bytes;
  });
  std::vector<Block *> placed; // by offset
  total = 0;
  for (unsigned index : order) {
    Block &block = blocks[index];
    block.bytes = (block.bytes + alignment - 1) / alignment * alignment;
    int64_t offset = 0;
    for (Block *other : placed) {
      if (other->last < block.first || block.last < other->first)
        continue;
      if (offset + block.bytes <= other->offset)
        break;
      offset = std::max(offset, other->offset + other->bytes);
    }
    block.offset = offset;
    total = std::max(total, offset + block.bytes);
    placed.insert(std::upper_bound(placed.begin(), placed.end(), &block,
                                   [](const Block *a, const Block *b) {
                                     return a->offset < b->offset;
                                   }),
                  &block);
  }
}

} // namespace lfmc

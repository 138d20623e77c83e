// SPDX-License-Identifier: Apache-2.0
#include "passes/plan/Arena.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

using lfmc::Arena;

TEST(Arena, SharesBytesOfBlocksThatAreNotAliveTogether) {
  Arena arena;
  unsigned a = arena.add(1000, 0, 1), b = arena.add(1000, 1, 2),
           c = arena.add(1000, 2, 3);
  arena.commit();
  EXPECT_EQ(arena.offset(a), arena.offset(c));
  EXPECT_NE(arena.offset(a), arena.offset(b));
  EXPECT_EQ(arena.size(), 2048);
}

TEST(Arena, ExtendsLifetimes) {
  Arena arena;
  unsigned a = arena.add(64, 0, 0), b = arena.add(64, 3, 3);
  arena.extend(a, 3);
  arena.commit();
  EXPECT_NE(arena.offset(a), arena.offset(b));
}

TEST(Arena, IsEmptyWithoutBlocks) {
  Arena arena;
  arena.commit();
  EXPECT_EQ(arena.size(), 0);
}

TEST(Arena, NeverOverlapsLivingBlocksAndStaysNearTheBound) {
  std::mt19937 random(1);
  for (int round = 0; round < 200; ++round) {
    struct Block {
      int64_t bytes, first, last;
      unsigned index;
    };
    Arena arena;
    std::vector<Block> blocks;
    int64_t peak[32] = {};
    for (int i = 0; i < 40; ++i) {
      int64_t first = random() % 32, last = first + random() % (32 - first);
      int64_t bytes = 64 * (1 + random() % 64);
      blocks.push_back({bytes, first, last, arena.add(bytes, first, last)});
      for (int64_t step = first; step <= last; ++step)
        peak[step] += bytes;
    }
    arena.commit();
    for (const Block &x : blocks) {
      int64_t from = arena.offset(x.index), to = from + x.bytes;
      EXPECT_EQ(from % 64, 0);
      EXPECT_LE(to, arena.size());
      for (const Block &y : blocks)
        if (&x != &y && x.first <= y.last && y.first <= x.last) {
          int64_t other = arena.offset(y.index);
          EXPECT_TRUE(to <= other || other + y.bytes <= from);
        }
    }
    int64_t bound = *std::max_element(peak, peak + 32);
    EXPECT_GE(arena.size(), bound);
    EXPECT_LE(arena.size(), 2 * bound);
  }
}

// SPDX-License-Identifier: Apache-2.0
//
// Built twice: with the system's fast waiting and with LFM_NO_FUTEX.
#include "runtime/src/Team.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <new>
#include <thread>
#include <vector>

using lfm_rt::Message;
using lfm_rt::Team;

namespace {

/// A team in zeroed memory, as a session has it.
class TeamTest : public testing::Test {
protected:
  TeamTest() {
    memory = lfm_rt::mapMemory(sizeof(Team));
    team = new (memory) Team();
    team->open();
  }
  ~TeamTest() override {
    team->close();
    lfm_rt::unmapMemory(memory, sizeof(Team));
  }

  void *memory;
  Team *team;
};

constexpr int64_t kCells = 97, kPhases = 60;

/// Phase k makes cell i from two cells of phase k-1 that other threads wrote:
/// a chunk handed out twice or a thread that runs ahead changes the end.
void dependentPhases(const lfm_args *args, lfm_sync *sync, int32_t thread) {
  auto *cells = reinterpret_cast<uint64_t *>(args->arena);
  for (int64_t k = 0; k < kPhases; ++k) {
    const uint64_t *from = cells + (k % 2) * kCells;
    uint64_t *to = cells + ((k + 1) % 2) * kCells;
    for (int32_t v = 0; v < sync->threads; ++v) {
      const int32_t owner = (thread + v) % sync->threads;
      const int64_t begin = kCells * owner / sync->threads;
      const int64_t end = kCells * (owner + 1) / sync->threads;
      int64_t &ticket = sync->tickets[k % 2][owner].next;
      for (int64_t i; (i = begin + __atomic_fetch_add(&ticket, 1,
                                                      __ATOMIC_RELAXED)) < end;)
        to[i] = from[(i + 1) % kCells] * 31 +
                from[(i + kCells - 1) % kCells] + static_cast<uint64_t>(k);
    }
    sync->barrier(sync, k % 2);
  }
}

std::vector<uint64_t> initialCells() {
  std::vector<uint64_t> cells(2 * kCells);
  for (size_t i = 0; i < cells.size(); ++i)
    cells[i] = i * i;
  return cells;
}

void runSteps(Team &team, std::vector<uint64_t> &cells, int steps) {
  lfm_args args = {};
  args.arena = reinterpret_cast<uint8_t *>(cells.data());
  for (int i = 0; i < steps; ++i) {
    team.run(dependentPhases, args);
    for (int32_t t = 0; t < team.size(); ++t) {
      ASSERT_EQ(team.tickets[0][t].next, 0);
      ASSERT_EQ(team.tickets[1][t].next, 0);
    }
  }
}

TEST_F(TeamTest, DependentPhases) {
  constexpr int kSteps = 20;
  std::vector<uint64_t> wanted = initialCells();
  ASSERT_EQ(team->size(), 1);
  runSteps(*team, wanted, kSteps);
  for (int threads = 1; threads <= 8; ++threads)
    for (int spin : {0, 50, 1000}) {
      ASSERT_EQ(team->resize(threads, spin, Message()), LFM_OK);
      ASSERT_EQ(team->size(), threads);
      std::vector<uint64_t> cells = initialCells();
      runSteps(*team, cells, kSteps);
      EXPECT_EQ(cells, wanted) << threads << " threads, spin " << spin;
    }
}

TEST_F(TeamTest, StepsAfterPauses) {
  ASSERT_EQ(team->resize(3, 20, Message()), LFM_OK);
  std::vector<uint64_t> cells = initialCells(), wanted = initialCells();
  for (int i = 0; i < 20; ++i) {
    runSteps(*team, cells, 1);
    // Long enough for the workers to fall asleep, every other time.
    if (i % 2)
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  team->close();
  team->open();
  runSteps(*team, wanted, 20);
  EXPECT_EQ(cells, wanted);
}

TEST_F(TeamTest, UnevenThreads) {
  // Whoever comes last, all the others must wait for it.
  static std::atomic<int> entered, wrong;
  entered = wrong = 0;
  ASSERT_EQ(team->resize(4, 10, Message()), LFM_OK);
  auto entry = [](const lfm_args *args, lfm_sync *sync, int32_t thread) {
    if (thread == args->pos % 4)
      std::this_thread::sleep_for(std::chrono::microseconds(300));
    ++entered;
    sync->barrier(sync, 0);
    wrong += entered != 4 * (args->pos + 1);
    sync->barrier(sync, 1);
  };
  lfm_args args = {};
  for (args.pos = 0; args.pos < 100; ++args.pos)
    team->run(entry, args);
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(entered, 400);
}

TEST_F(TeamTest, ManyResizes) {
  std::vector<uint64_t> cells = initialCells(), wanted = initialCells();
  for (int i = 0; i < 40; ++i) {
    ASSERT_EQ(team->resize(1 + i % 5, i % 3 * 20, Message()), LFM_OK);
    if (i % 4) // also teams that never ran
      runSteps(*team, cells, 1);
  }
  ASSERT_EQ(team->resize(1, 0, Message()), LFM_OK);
  runSteps(*team, wanted, 30);
  EXPECT_EQ(cells, wanted);
}

} // namespace

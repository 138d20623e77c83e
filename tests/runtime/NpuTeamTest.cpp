// SPDX-License-Identifier: Apache-2.0
//
// The NPU's session and its team, as code of this machine.
extern "C" {
#include "runtime/hexagon/Team.h"
}

#include "FakeProgram.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <cstdlib>
#include <fstream>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace {

std::mutex mutex;
std::condition_variable condition;
std::atomic<int> sleeps;

void waitForChange(uint32_t *word, uint32_t value) {
  ++sleeps;
  std::unique_lock<std::mutex> lock(mutex);
  condition.wait(
      lock, [&] { return __atomic_load_n(word, __ATOMIC_ACQUIRE) != value; });
}
void wakeAll(uint32_t *) {
  std::lock_guard<std::mutex> lock(mutex);
  condition.notify_all();
}
void returnAtOnce(uint32_t *, uint32_t) { std::this_thread::yield(); }
void wakeNobody(uint32_t *) {}

const lfm_npu_system sleepy = {waitForChange, wakeAll, 0};
const lfm_npu_system patient = {waitForChange, wakeAll, 300};
const lfm_npu_system spurious = {returnAtOnce, wakeNobody, 3};

/// The threads of a team beside the one that reads.
class Workers {
public:
  Workers(lfm_npu &npu, int32_t threads, const lfm_npu_system &system)
      : npu(npu) {
    EXPECT_EQ(lfm_npu_set_threads(&npu, threads, &system), LFM_NPU_OK);
    for (int32_t i = 1; i < threads; ++i)
      workers.emplace_back(lfm_npu_work, &npu, i);
  }
  ~Workers() {
    lfm_npu_dismiss(&npu);
    for (std::thread &worker : workers)
      worker.join();
    EXPECT_EQ(npu.sync.threads, 1);
  }

private:
  lfm_npu &npu;
  std::vector<std::thread> workers;
};

struct Free {
  void operator()(void *memory) const { std::free(memory); }
};
using Memory = std::unique_ptr<uint8_t, Free>;

Memory allocate(uint64_t bytes) {
  const uint64_t unit = LFM_NPU_ALIGNMENT;
  return Memory(static_cast<uint8_t *>(
      std::aligned_alloc(unit, (bytes + unit - 1) / unit * unit)));
}

class NpuTeamTest : public testing::Test {
protected:
  void SetUp() override {
    fake::script.clear();
    const std::string path = testing::TempDir() + "npu_team.weights";
    fake::writeWeights(path);
    weights = allocate(program.weights_bytes);
    memory = allocate(lfm_npu_session_bytes(&program));
    std::ifstream(path, std::ios::binary)
        .read(reinterpret_cast<char *>(weights.get()),
              static_cast<std::streamsize>(program.weights_bytes));
    ASSERT_EQ(lfm_npu_open(&npu, &program, weights.get(), memory.get()),
              LFM_NPU_OK);
  }

  lfm_program program = fake::makeProgram();
  Memory weights, memory;
  lfm_npu npu;
};

constexpr int64_t kCells = 97, kPhases = 41;

/// Phase k makes cell i from two cells of phase k-1 that other threads wrote:
/// a chunk handed out twice or a thread that runs ahead changes the end. An odd
/// number of phases: steps meet on the same tickets.
void dependentPhases(const lfm_args *args, lfm_sync *sync, int32_t thread) {
  auto *cells = reinterpret_cast<uint64_t *>(args->arena);
  for (int64_t k = 0; k < kPhases; ++k) {
    const uint64_t *from = cells + (k % 2) * kCells;
    uint64_t *to = cells + ((k + 1) % 2) * kCells;
    for (int32_t v = 0; v < sync->threads; ++v) {
      const int32_t owner = (thread + v) % sync->threads;
      const int64_t begin = kCells * owner / sync->threads;
      const int64_t end = kCells * (owner + 1) / sync->threads;
      int64_t *ticket = &sync->tickets[k % 2][owner].next;
      for (int64_t i;
           (i = begin + __atomic_fetch_add(ticket, 1, __ATOMIC_RELAXED)) < end;)
        to[i] = from[(i + 1) % kCells] * 31 + from[(i + kCells - 1) % kCells] +
                static_cast<uint64_t>(k);
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

/// The arguments die with each step, as lfm_npu_read's do.
void runSteps(lfm_npu &npu, std::vector<uint64_t> &cells, int steps) {
  for (int i = 0; i < steps; ++i) {
    lfm_args args = {};
    args.arena = reinterpret_cast<uint8_t *>(cells.data());
    lfm_npu_run(&npu, dependentPhases, &args);
    for (int32_t t = 0; t < npu.sync.threads; ++t) {
      ASSERT_EQ(npu.tickets[0][t].next, 0);
      ASSERT_EQ(npu.tickets[1][t].next, 0);
    }
  }
}

TEST_F(NpuTeamTest, DependentPhases) {
  constexpr int kSteps = 12;
  std::vector<uint64_t> wanted = initialCells();
  runSteps(npu, wanted, kSteps);
  sleeps = 0;
  for (int32_t threads : {1, 2, 3, 4, 7, LFM_NPU_MAX_THREADS})
    for (const lfm_npu_system *system : {&sleepy, &patient, &spurious}) {
      std::vector<uint64_t> cells = initialCells();
      Workers workers(npu, threads, *system);
      runSteps(npu, cells, kSteps);
      EXPECT_EQ(cells, wanted) << threads << " threads";
    }
  EXPECT_GT(sleeps, 0);
}

/// Logits after each token of a prompt, after four tokens one by one, and after
/// the prompt once more.
std::vector<float> read(lfm_npu &npu) {
  const std::vector<int32_t> ids = {5, 9, 1, 33, 2, 8, 4, 60, 7, 11, 3};
  const int32_t count = static_cast<int32_t>(ids.size());
  const size_t row = static_cast<size_t>(npu.program->vocab_size);
  std::vector<float> logits((ids.size() + 5) * row);
  float *next = logits.data();
  auto readMore = [&](const int32_t *more, int32_t n, bool all) {
    EXPECT_EQ(lfm_npu_read(&npu, more, n, next, all), LFM_NPU_OK);
    next += (all ? static_cast<size_t>(n) : 1) * row;
  };
  lfm_npu_reset(&npu);
  readMore(ids.data(), count, true);
  for (int32_t i = 0; i < 4; ++i)
    readMore(&i, 1, false);
  readMore(ids.data(), count, false);
  return logits;
}

TEST_F(NpuTeamTest, SameLogits) {
  const std::vector<float> wanted = read(npu);
  fake::Reference reference;
  EXPECT_EQ(std::vector<float>(wanted.begin(), wanted.begin() + 64),
            reference.read(5));
  for (int32_t threads : {2, 4, 6}) {
    Workers workers(npu, threads, sleepy);
    EXPECT_EQ(read(npu), wanted) << threads << " threads";
    // Workers are asleep by now.
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    EXPECT_EQ(read(npu), wanted) << threads << " threads";
  }
  EXPECT_EQ(read(npu), wanted);
}

TEST_F(NpuTeamTest, ThreadsThatComeLate) {
  const std::vector<float> wanted = read(npu);
  ASSERT_EQ(lfm_npu_set_threads(&npu, 2, &patient), LFM_NPU_OK);
  std::thread late([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    lfm_npu_work(&npu, 1);
  });
  EXPECT_EQ(read(npu), wanted);
  lfm_npu_dismiss(&npu);
  late.join();
}

TEST_F(NpuTeamTest, TeamsThatNeverRan) {
  for (int i = 0; i < 20; ++i)
    Workers workers(npu, 1 + i % 5, i % 2 ? sleepy : patient);
  lfm_npu_dismiss(&npu); // without a team
  read(npu);
}

TEST_F(NpuTeamTest, BadNumbers) {
  Workers workers(npu, 3, sleepy);
  for (int32_t threads : {-1, 0, LFM_NPU_MAX_THREADS + 1}) {
    const lfm_npu_status status = lfm_npu_set_threads(&npu, threads, &sleepy);
    EXPECT_EQ(status, LFM_NPU_THREADS);
    EXPECT_STREQ(lfm_npu_message(status),
                 "expected 1 to 16 threads, no more than vector contexts");
  }
  EXPECT_EQ(lfm_npu_set_threads(&npu, 2, nullptr), LFM_NPU_THREADS);
  EXPECT_EQ(npu.sync.threads, 3);
  read(npu);
}

TEST_F(NpuTeamTest, Messages) {
  for (int status = LFM_NPU_OK; status <= LFM_NPU_START; ++status)
    EXPECT_STRNE(lfm_npu_message(static_cast<lfm_npu_status>(status)),
                 "unknown status");
}

} // namespace

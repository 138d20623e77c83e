// SPDX-License-Identifier: Apache-2.0
//
// Which processors a session's threads may use: by a made-up system's files,
// and by what this system then says of the threads.
#include "SessionFixture.h"

#include "runtime/src/Cores.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <thread>
#ifdef __linux__
#include <sched.h>
#endif

using lfm_rt::chooseProcessors;
using lfm_rt::Processors;
namespace fs = std::filesystem;

namespace {

/// /sys/devices/system/cpu of a machine that is not here.
class FakeSystem {
public:
  FakeSystem() {
    char name[] = "/tmp/lfm_cores_XXXXXX";
    root = mkdtemp(name);
  }
  ~FakeSystem() { fs::remove_all(root); }
  void add(const char *file, std::vector<int> values) {
    for (size_t i = 0; i < values.size(); ++i) {
      fs::path path = root / ("cpu" + std::to_string(i)) / file;
      fs::create_directories(path.parent_path());
      std::ofstream(path) << values[i] << '\n';
    }
  }
  fs::path root;
};

Processors first(int count) {
  Processors set = {};
  for (int i = 0; i < count; ++i)
    set.set(i, true);
  return set;
}

/// A bit per processor, the first on the left.
std::string text(const Processors &set, int count) {
  std::string bits;
  for (int i = 0; i < count; ++i)
    bits += set.has(i) ? '1' : '0';
  EXPECT_EQ(set.count(), std::count(bits.begin(), bits.end(), '1'));
  return bits;
}

std::string big(const FakeSystem &system, int count, uint64_t mask = 0) {
  return text(
      chooseProcessors(first(count), LFM_CORES_BIG, mask, system.root.c_str()),
      count);
}

TEST(Cores, BigAreThoseOfHalfTheLargestCapacity) {
  FakeSystem phone;
  phone.add("cpu_capacity", {320, 320, 900, 900, 900, 840, 840, 1024});
  EXPECT_EQ(big(phone, 8), "00111111");
  // Of those that are asked for: among little ones, none is little.
  EXPECT_EQ(big(phone, 8, 0x07), "00100000");
  EXPECT_EQ(big(phone, 8, 0x03), "11000000");
  EXPECT_EQ(
      text(chooseProcessors(first(8), LFM_CORES_ALL, 0x15, phone.root.c_str()),
           8),
      "10101000");
  // 512 of 1024 is big, 511 is not.
  FakeSystem edge;
  edge.add("cpu_capacity", {1024, 512, 511});
  EXPECT_EQ(big(edge, 3), "110");
}

TEST(Cores, ClocksStandInForCapacities) {
  FakeSystem system;
  system.add("cpufreq/cpuinfo_max_freq", {1700000, 3530000, 4320000});
  EXPECT_EQ(big(system, 3), "011");
  FakeSystem silent;
  EXPECT_EQ(big(silent, 3), "111");
  FakeSystem damaged;
  damaged.add("cpu_capacity", {100, 1000});
  std::ofstream(damaged.root / "cpu1/cpu_capacity") << "??";
  EXPECT_EQ(big(damaged, 2), "11");
}

TEST(Cores, ProcessorsBeyondTheMaskAreLeftOutByIt) {
  FakeSystem silent;
  Processors many = first(100);
  Processors chosen =
      chooseProcessors(many, LFM_CORES_ALL, 0x3, silent.root.c_str());
  EXPECT_EQ(chosen.count(), 2);
  EXPECT_EQ(
      chooseProcessors(many, LFM_CORES_BIG, 0, silent.root.c_str()).count(),
      100);
}

#ifdef __linux__

std::string affinity() {
  cpu_set_t set;
  EXPECT_EQ(sched_getaffinity(0, sizeof set, &set), 0);
  std::string bits;
  for (int i = 0; i < 64; ++i)
    bits += CPU_ISSET(i, &set) ? '1' : '0';
  return bits;
}

std::string seen[2]; // by thread

void look(const lfm_args *, lfm_sync *sync, int32_t thread) {
  seen[thread] = affinity();
  sync->barrier(sync, 0);
}

TEST_F(SessionTest, ThreadsRunOnTheChosenProcessors) {
  const std::string before = affinity();
  const size_t last = before.rfind('1');
  ASSERT_NE(last, std::string::npos);
  std::string only(64, '0');
  only[last] = '1';

  program.decode = look;
  Model model = open(program);
  lfm_session_options options = {};
  options.processors = uint64_t{1} << last;
  lfm_session *raw = nullptr;
  char message[256] = "";
  ASSERT_EQ(
      lfm_session_create(model.get(), &options, &raw, message, sizeof message),
      LFM_OK)
      << message;
  Session session(raw);
  EXPECT_EQ(lfm_session_threads(raw), 1); // one processor was asked for
  ASSERT_EQ(lfm_session_set_threads(raw, 2), LFM_OK);
  ASSERT_EQ(lfm_session_decode(raw, 1, nullptr), LFM_OK);
  EXPECT_EQ(seen[0], before); // the application's thread
  EXPECT_EQ(seen[1], only);
  std::thread([&] {
    EXPECT_EQ(lfm_session_bind_thread(raw), LFM_OK);
    EXPECT_EQ(affinity(), only);
  }).join();
  EXPECT_EQ(affinity(), before);
}

TEST_F(SessionTest, ProcessorsThatAreNotThere) {
  Model model = open(program);
  lfm_session_options options = {};
  lfm_session *session = nullptr;
  char message[256] = "";
  const std::string here = affinity();
  for (int i = 0; i < 64; ++i)
    if (here[size_t(i)] == '0')
      options.processors |= uint64_t{1} << i;
  if (options.processors) {
    EXPECT_EQ(lfm_session_create(model.get(), &options, &session, message, 256),
              LFM_ERROR_INVALID_ARGUMENT);
    EXPECT_NE(std::string(message).find("may use none of the processors 0x"),
              std::string::npos)
        << message;
  }
  options = {};
  options.cores = 2;
  EXPECT_EQ(lfm_session_create(model.get(), &options, &session, message, 256),
            LFM_ERROR_INVALID_ARGUMENT);
  EXPECT_NE(std::string(message).find("unknown cores 2"), std::string::npos);
  // Without a choice, nothing is bound.
  Session plain = start(model);
  const std::string before = affinity();
  EXPECT_EQ(lfm_session_bind_thread(plain.get()), LFM_OK);
  EXPECT_EQ(affinity(), before);
  EXPECT_EQ(lfm_session_bind_thread(nullptr), LFM_ERROR_INVALID_ARGUMENT);
}

#endif

} // namespace

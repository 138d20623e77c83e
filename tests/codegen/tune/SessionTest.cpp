// SPDX-License-Identifier: Apache-2.0
//
// What a session makes of candidates that fail and of measurements that it
// finds, with a device that only says what it shall.
#include "codegen/tune/Session.h"

#include <gtest/gtest.h>

#include <cmath>
#include <csignal>
#include <deque>
#include <filesystem>
#include <set>
#include <sys/resource.h>

namespace lfmc::tune {
namespace {

/// Answers from a list, then "measured, 1".
class Scripted : public Device {
public:
  Outcome run(const std::string &, const std::string &, unsigned) override {
    ++asked;
    Outcome outcome = measured(1);
    if (!script.empty()) {
      outcome = script.front();
      script.pop_front();
    }
    return outcome;
  }
  llvm::Expected<std::string> cpuinfo() override { return std::string(); }
  std::string name() const override { return "scripted"; }

  static Outcome measured(double ratio) {
    Outcome outcome;
    outcome.status = Status::Measured;
    outcome.ratio = ratio;
    outcome.presetNs = 1000;
    outcome.candidateNs = 1000 * ratio;
    return outcome;
  }
  static Outcome failed(Status status) {
    Outcome outcome;
    outcome.status = status;
    outcome.message = "as told";
    return outcome;
  }

  std::deque<Outcome> script;
  size_t asked = 0;
};

class SessionTest : public testing::Test {
protected:
  void SetUp() override {
    if (!std::filesystem::exists(LFMC_MEASURE "/measure-x86_64.o"))
      GTEST_SKIP() << "no measuring program for this machine";
    std::string pattern =
        std::filesystem::temp_directory_path() / "lfmc-session-XXXXXX";
    folder = mkdtemp(pattern.data());
    options.most = 5;
    options.jobs = 1;
    options.measure.coldBytes = 1 << 16;
    options.measure.tokens = 8;
    events.measured = [&](const Measurement &m) { told.push_back(m); };
    events.won = [&](const TuningRecord &record) { won.push_back(record); };
    events.lost = [&](const std::string &kernel) { lost.push_back(kernel); };
  }
  void TearDown() override {
    if (!folder.empty())
      std::filesystem::remove_all(folder);
  }

  std::string run(const std::vector<Measurement> &known = {}) {
    auto measurer =
        llvm::cantFail(Measurer::create(device, target, LFMC_MEASURE, folder));
    Session session(*measurer, target, setting, options, events);
    llvm::cantFail(session.add({kernel, {shares[0], shares[1]}}, known));
    volatile bool stop = false;
    return llvm::toString(session.run(stop));
  }

  const std::string kernel = "short_conv channels=1024 taps=3";
  const Target &target = **findTarget("x86-64-v2");
  const Setting setting{"x86-64-v2", tuningFeatures(target), "Maker 1/2 Y", 7,
                        "scripted"};
  double shares[2] = {1, 0};
  Scripted device;
  SessionOptions options;
  SessionEvents events;
  std::vector<Measurement> told;
  std::vector<TuningRecord> won;
  std::vector<std::string> lost;
  std::filesystem::path folder;
};

TEST_F(SessionTest, GoesOnAfterCandidatesThatFail) {
  // One of each kind, and one that is fast; measured again it still is.
  for (Status status : {Status::Crashed, Status::Hung, Status::Wrong})
    device.script.push_back(Scripted::failed(status));
  for (double ratio : {0.5, 2.0, 0.6})
    device.script.push_back(Scripted::measured(ratio));
  EXPECT_EQ(run(), "");
  ASSERT_GE(told.size(), 4u);
  std::set<Choice> choices;
  for (const Measurement &m : told)
    EXPECT_TRUE(choices.insert(m.choice).second) << "proposed twice";
  ASSERT_EQ(won.size(), 1u);
  EXPECT_TRUE(lost.empty());
  EXPECT_EQ(won[0].choice, told[3].choice);
  EXPECT_NEAR(won[0].speedupOne, 1 / 0.6, 1e-6);
  EXPECT_EQ(won[0].speedupMany, 0);
}

TEST_F(SessionTest, DropsAWinnerThatFailsWhenMeasuredAgain) {
  for (Status status : {Status::Wrong, Status::Crashed, Status::Hung}) {
    told.clear(), won.clear(), lost.clear();
    options.most = 1;
    device.script = {Scripted::measured(0.5), Scripted::failed(status)};
    EXPECT_EQ(run(), "");
    EXPECT_TRUE(won.empty());
    EXPECT_EQ(lost, std::vector<std::string>{kernel});
  }
  // One that is slower then.
  told.clear(), lost.clear();
  device.script = {Scripted::measured(0.5), Scripted::measured(1.2)};
  EXPECT_EQ(run(), "");
  EXPECT_TRUE(won.empty());
  EXPECT_EQ(lost.size(), 1u);
}

/// What wins prompts may not slow down steps of a few tokens.
TEST_F(SessionTest, LooksAtShortSteps) {
  std::swap(shares[0], shares[1]);
  options.most = 1;
  for (double ratio : {1.02, 1.2}) {
    won.clear(), lost.clear();
    // Found, measured again, with four tokens.
    for (double each : {0.5, 0.6, ratio})
      device.script.push_back(Scripted::measured(each));
    device.asked = 0;
    EXPECT_EQ(run(), "");
    EXPECT_EQ(device.asked, 3u);
    EXPECT_EQ(won.size(), ratio < 1.1 ? 1u : 0u);
    EXPECT_EQ(lost.size(), ratio < 1.1 ? 0u : 1u);
  }
}

TEST_F(SessionTest, SaysThatADeviceIsLostWheneverThatIs) {
  device.script = {Scripted::measured(0.5), Scripted::failed(Status::Lost)};
  EXPECT_EQ(run(), "device scripted is lost: as told");
  EXPECT_EQ(told.size(), 1u);
  // When the winner is measured again: what was found stays.
  told.clear();
  options.most = 1;
  device.script = {Scripted::measured(0.5), Scripted::failed(Status::Lost)};
  EXPECT_EQ(run(), "device scripted is lost: as told");
  EXPECT_EQ(told.size(), 1u);
  EXPECT_TRUE(won.empty());
}

/// No candidate is blamed for a disk without room: the session ends, and
/// --resume proposes them again.
TEST_F(SessionTest, DoesNotBlameCandidatesForAFullDisk) {
  // Files may not grow beyond what is too small for a program.
  struct rlimit before, limit;
  getrlimit(RLIMIT_FSIZE, &before);
  limit = {1 << 18, before.rlim_max};
  std::signal(SIGXFSZ, SIG_IGN);
  setrlimit(RLIMIT_FSIZE, &limit);
  const std::string text = run();
  setrlimit(RLIMIT_FSIZE, &before);
  EXPECT_NE(text.find("device scripted is lost: cannot write"),
            std::string::npos)
      << text;
  EXPECT_TRUE(told.empty());
  EXPECT_EQ(device.asked, 0u);
}

TEST_F(SessionTest, ResumesWithWhatFitsAlone) {
  options.most = SIZE_MAX;
  EXPECT_EQ(run(), "");
  const size_t all = told.size();
  ASSERT_GT(all, 1u);
  const std::vector<Measurement> known = told;
  auto again = [&](auto change) {
    std::vector<Measurement> other = known;
    for (Measurement &m : other)
      change(m);
    told.clear();
    EXPECT_EQ(run(other), "");
    return told.size();
  };
  EXPECT_EQ(again([](Measurement &) {}), 0u);
  // Of other kernels of lfmc's, another processor, device or target.
  EXPECT_EQ(again([](Measurement &m) { ++m.setting.version; }), all);
  EXPECT_EQ(again([](Measurement &m) { m.setting.cpu = "Maker 1/3 Z"; }), all);
  EXPECT_EQ(again([](Measurement &m) { m.setting.source = "local"; }), all);
  EXPECT_EQ(again([](Measurement &m) { m.setting.features += "x"; }), all);
  // A choice that the space does not have any more.
  EXPECT_EQ(again([](Measurement &m) { m.choice["one.block"] = 3; }), all);
}

} // namespace
} // namespace lfmc::tune

// SPDX-License-Identifier: Apache-2.0
//
// With the runtime's own teams, on a program whose phases are known.
#include "tools/lfmc/Recorder.h"
#include "tests/runtime/SessionFixture.h"

using namespace lfmc::cli;

namespace {

class RecorderTest : public SessionTest {
protected:
  lfm_program program = fake::makeProgram();
  Recorder recorder{program};
};

// What each thread did: entry and phase, in order.
std::vector<std::pair<int, int>> phases(const Recorder &recorder, int thread) {
  std::vector<std::pair<int, int>> result;
  for (const PhaseRecord &record : recorder.records(thread))
    result.push_back({record.entry, record.phase});
  return result;
}

TEST_F(RecorderTest, SeesEveryPhaseOnEveryThread) {
  for (int threads : {1, 2, 3}) {
    Model model = open(*recorder.program());
    Session session = start(model, threads);
    recorder.clear();
    std::vector<float> logits(64);
    std::vector<int32_t> tokens(fake::kPrefill + 3, 1);
    ASSERT_EQ(lfm_session_prefill(session.get(), tokens.data(), tokens.size(),
                                  logits.data()),
              LFM_OK);
    ASSERT_EQ(lfm_session_decode(session.get(), 2, logits.data()), LFM_OK);
    // Two steps of the prompt, the head's row, the token.
    std::vector<std::pair<int, int>> wanted;
    for (auto [entry, count] : {std::pair{PhaseRecord::Prefill, 3},
                                {PhaseRecord::Prefill, 3},
                                {PhaseRecord::Head, 1},
                                {PhaseRecord::Decode, 3}})
      for (int phase = 0; phase < count; ++phase)
        wanted.push_back({entry, phase});
    for (int thread = 0; thread < threads; ++thread)
      EXPECT_EQ(phases(recorder, thread), wanted) << "thread " << thread;
    EXPECT_TRUE(recorder.records(threads).empty());
  }
}

// A prompt of two entries, the second step too short for them.
TEST_F(SessionTest, RecorderKnowsThePartsOfAPrompt) {
  lfm_program cut = fake::makeProgram();
  fake::cutPrompt(cut);
  Recorder other(cut);
  Model model = open(*other.program());
  Session session = start(model, 2);
  std::vector<int32_t> tokens(fake::kPrefill + 2, 1);
  ASSERT_EQ(
      lfm_session_prefill(session.get(), tokens.data(), tokens.size(), nullptr),
      LFM_OK);
  std::vector<int> entries;
  for (const PhaseRecord &record : other.records(0))
    if (record.phase == 0)
      entries.push_back(record.entry);
  EXPECT_EQ(entries,
            (std::vector<int>{PhaseRecord::Prompt, PhaseRecord::PromptEnd,
                              PhaseRecord::Prefill}));
  EXPECT_STREQ(entryName(PhaseRecord::PromptEnd), "prompt_end");
}

// A thread's times follow one another, and nobody leaves a barrier before the
// last has arrived.
TEST_F(RecorderTest, TimesAreInOrder) {
  constexpr int threads = 3;
  Model model = open(*recorder.program());
  Session session = start(model, threads);
  for (int i = 0; i < 20; ++i)
    ASSERT_EQ(lfm_session_decode(session.get(), i, nullptr), LFM_OK);
  size_t count = recorder.records(0).size();
  ASSERT_EQ(count, 60u);
  std::vector<double> lastArrival(count, 0);
  for (int thread = 0; thread < threads; ++thread) {
    double last = 0;
    ASSERT_EQ(recorder.records(thread).size(), count);
    for (size_t i = 0; i < count; ++i) {
      const PhaseRecord &record = recorder.records(thread)[i];
      EXPECT_GE(record.begin, last);
      EXPECT_GE(record.arrive, record.begin);
      EXPECT_GE(record.leave, record.arrive);
      if (record.phase > 0) {
        EXPECT_EQ(record.begin, last) << "no time is lost between phases";
      }
      last = record.leave;
      lastArrival[i] = std::max(lastArrival[i], record.arrive);
    }
  }
  for (int thread = 0; thread < threads; ++thread)
    for (size_t i = 0; i < count; ++i)
      EXPECT_GE(recorder.records(thread)[i].leave, lastArrival[i]);
}

TEST_F(RecorderTest, ChangesNoResult) {
  Model model = open(*recorder.program());
  Session session = start(model, 2);
  fake::Reference reference;
  std::vector<float> logits(64);
  for (int32_t token : {3, 1, 4, 1, 5}) {
    ASSERT_EQ(lfm_session_decode(session.get(), token, logits.data()), LFM_OK);
    EXPECT_EQ(logits, reference.read(token));
  }
}

} // namespace

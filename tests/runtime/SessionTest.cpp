// SPDX-License-Identifier: Apache-2.0
#include "SessionFixture.h"

#include <atomic>
#include <thread>

namespace {

TEST_F(SessionTest, AnyChunksGiveTheSame) {
  Ids ids = prompt(40);
  auto rows = expected(ids);
  for (int kind = 0; kind < 4; ++kind) {
    program = fake::makeProgram(/*alignedRows=*/kind % 2);
    if (kind / 2)
      fake::cutPrompt(program);
    Model model = open(program);
    for (size_t chunk : {1, 2, 3, 7, 8, 9, 40}) {
      Session session = start(model);
      std::vector<float> logits(64);
      for (size_t at = 0; at < ids.size(); at += chunk) {
        size_t n = std::min(chunk, ids.size() - at);
        ASSERT_EQ(
            lfm_session_prefill(session.get(), &ids[at], n, logits.data()),
            LFM_OK);
        EXPECT_EQ(logits, rows[at + n - 1]);
      }
      EXPECT_EQ(lfm_session_position(session.get()), 40);
      EXPECT_TRUE(std::equal(ids.begin(), ids.end(),
                             lfm_session_tokens(session.get())));
    }
  }
}

TEST_F(SessionTest, DecodeContinuesPrefill) {
  Ids ids = prompt(30);
  auto rows = expected(ids);
  Model model = open(program);
  Session session = start(model);
  ASSERT_EQ(lfm_session_prefill(session.get(), ids.data(), 10, nullptr),
            LFM_OK);
  EXPECT_EQ(lfm_session_last_logits(session.get()), nullptr);
  std::vector<float> logits(64);
  for (size_t i = 10; i < ids.size(); ++i) {
    ASSERT_EQ(lfm_session_decode(session.get(), ids[i],
                                 i % 2 ? logits.data() : nullptr),
              LFM_OK);
    const float *last = lfm_session_last_logits(session.get());
    ASSERT_NE(last, nullptr);
    EXPECT_EQ(std::vector<float>(last, last + 64), rows[i]);
    if (i % 2)
      EXPECT_EQ(logits, rows[i]);
  }
}

TEST_F(SessionTest, LogitsOfAllPositions) {
  Ids ids = prompt(21);
  auto rows = expected(ids);
  for (bool aligned : {true, false}) {
    program = fake::makeProgram(aligned);
    Model model = open(program);
    for (size_t shift : {0, 1}) { // generated code wants aligned arrays
      Session session = start(model);
      std::vector<float> memory(21 * 64 + 64);
      auto address = reinterpret_cast<uintptr_t>(memory.data());
      float *all = reinterpret_cast<float *>((address + 63) / 64 * 64) + shift;
      ASSERT_EQ(lfm_session_logits(session.get(), ids.data(), ids.size(), all),
                LFM_OK);
      for (size_t i = 0; i < ids.size(); ++i)
        EXPECT_EQ(std::vector<float>(all + i * 64, all + i * 64 + 64), rows[i]);
      EXPECT_EQ(lfm_session_position(session.get()), 21);
    }
  }
}

TEST_F(SessionTest, ErrorsChangeNothing) {
  Ids ids = prompt(fake::kContext);
  Model model = open(program);
  Session session = start(model);
  lfm_session *s = session.get();
  std::vector<float> logits(64);
  ASSERT_EQ(lfm_session_prefill(s, ids.data(), 60, nullptr), LFM_OK);

  EXPECT_EQ(lfm_session_prefill(s, ids.data(), 5, nullptr),
            LFM_ERROR_CONTEXT_FULL);
  EXPECT_STREQ(lfm_session_message(s),
               "context is full: 60 of 64 positions used, 5 tokens more");
  EXPECT_EQ(lfm_session_prefill(s, ids.data(), SIZE_MAX, nullptr),
            LFM_ERROR_CONTEXT_FULL);
  Ids wrong = {10, 64};
  EXPECT_EQ(lfm_session_prefill(s, wrong.data(), 2, nullptr),
            LFM_ERROR_TOKEN_RANGE);
  EXPECT_STREQ(lfm_session_message(s),
               "token 1: expected an id in 0..63, found 64");
  EXPECT_EQ(lfm_session_decode(s, -1, nullptr), LFM_ERROR_TOKEN_RANGE);
  EXPECT_EQ(lfm_session_logits(s, wrong.data(), 2, logits.data()),
            LFM_ERROR_TOKEN_RANGE);
  EXPECT_EQ(lfm_session_logits(s, ids.data(), 1, nullptr),
            LFM_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(lfm_session_prefill(s, nullptr, 1, nullptr),
            LFM_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(lfm_session_prefill(s, nullptr, 0, logits.data()),
            LFM_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(lfm_session_prefill(s, nullptr, 0, nullptr), LFM_OK);
  EXPECT_STREQ(lfm_session_message(s), "");
  EXPECT_EQ(lfm_session_position(s), 60);

  ASSERT_EQ(lfm_session_prefill(s, &ids[60], 4, logits.data()), LFM_OK);
  EXPECT_EQ(logits, expected(ids).back());
  EXPECT_EQ(lfm_session_decode(s, 10, nullptr), LFM_ERROR_CONTEXT_FULL);
  EXPECT_EQ(lfm_session_position(s), 64);
}

TEST_F(SessionTest, ResetStartsOver) {
  Ids ids = prompt(20);
  auto rows = expected(ids);
  Model model = open(program);
  Session session = start(model);
  std::vector<float> logits(64);
  for (int round = 0; round < 3; ++round) {
    ASSERT_EQ(lfm_session_prefill(session.get(), ids.data(), 20, logits.data()),
              LFM_OK);
    EXPECT_EQ(logits, rows[19]);
    lfm_session_reset(session.get());
    EXPECT_EQ(lfm_session_position(session.get()), 0);
    EXPECT_EQ(lfm_session_last_logits(session.get()), nullptr);
  }
}

// States past a megabyte go back to the system instead of being cleared.
TEST_F(SessionTest, ResetClearsLargeStates) {
  program.state_bytes = 5u << 20;
  lfm_state_info states[] = {program.states[0],
                             program.states[1],
                             {"large", 4096, (5u << 20) - 4096, 0, 1, 1}};
  program.states = states;
  program.state_count = 3;
  Model model = open(program);
  Session session = start(model);
  Ids ids = prompt(9);
  auto rows = expected(ids);
  std::vector<float> logits(64);
  for (int round = 0; round < 3; ++round) {
    ASSERT_EQ(lfm_session_prefill(session.get(), ids.data(), 9, logits.data()),
              LFM_OK);
    EXPECT_EQ(logits, rows[8]);
    lfm_session_reset(session.get());
  }
}

TEST_F(SessionTest, ThreadCounts) {
  Ids ids = prompt(30);
  auto rows = expected(ids);
  Model model = open(program);
  Session session = start(model, 0);
  EXPECT_GE(lfm_session_threads(session.get()), 1);
  std::vector<float> logits(64);
  for (int32_t threads : {1, 2, 3, 8, 1, 5, 2}) {
    ASSERT_EQ(lfm_session_set_threads(session.get(), threads), LFM_OK);
    EXPECT_EQ(lfm_session_threads(session.get()), threads);
    lfm_session_reset(session.get());
    for (size_t i = 0; i < ids.size(); ++i) {
      ASSERT_EQ(lfm_session_decode(session.get(), ids[i], logits.data()),
                LFM_OK);
      ASSERT_EQ(logits, rows[i]) << threads;
    }
  }
  EXPECT_EQ(lfm_session_set_threads(session.get(), -1),
            LFM_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(lfm_session_set_threads(session.get(), 257),
            LFM_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(lfm_session_threads(session.get()), 2);
}

TEST_F(SessionTest, CreationErrors) {
  Model model = open(program);
  lfm_session *session = nullptr;
  char message[128];
  lfm_session_options options = {};
  options.threads = 257;
  EXPECT_EQ(lfm_session_create(model.get(), &options, &session, message, 128),
            LFM_ERROR_INVALID_ARGUMENT);
  EXPECT_NE(std::string(message).find("found 257"), std::string::npos);
  options = {};
  options.reserved[0] = 1;
  EXPECT_EQ(lfm_session_create(model.get(), &options, &session, message, 128),
            LFM_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(lfm_session_create(nullptr, nullptr, &session, message, 128),
            LFM_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(lfm_session_create(model.get(), nullptr, nullptr, message, 128),
            LFM_ERROR_INVALID_ARGUMENT);

  program.arena_bytes = uint64_t{1} << 60; // no such address space
  Model huge = open(program);
  EXPECT_EQ(lfm_session_create(huge.get(), nullptr, &session, message, 128),
            LFM_ERROR_OUT_OF_MEMORY);
  EXPECT_EQ(session, nullptr);
}

TEST_F(SessionTest, CancelStopsTheNextStepOnce) {
  Ids ids = prompt(20);
  Model model = open(program);
  Session session = start(model);
  lfm_session *s = session.get();
  lfm_session_cancel(s);
  EXPECT_EQ(lfm_session_prefill(s, ids.data(), 20, nullptr),
            LFM_ERROR_CANCELLED);
  EXPECT_EQ(lfm_session_position(s), 0);
  EXPECT_EQ(lfm_session_decode(s, 10, nullptr), LFM_OK);
  lfm_session_cancel(s);
  EXPECT_EQ(lfm_session_decode(s, 10, nullptr), LFM_ERROR_CANCELLED);
  EXPECT_EQ(lfm_session_position(s), 1);
  lfm_session_cancel(s);
  lfm_session_reset(s);
  EXPECT_EQ(lfm_session_decode(s, 10, nullptr), LFM_OK);
}

std::atomic<bool> stepStarted, stepMayEnd;

void waitingPrefill(const lfm_args *, lfm_sync *sync, int32_t thread) {
  if (thread == 0) {
    stepStarted = true;
    while (!stepMayEnd)
      std::this_thread::yield();
  }
  sync->barrier(sync, 0);
}

TEST_F(SessionTest, CancelFromAnotherThread) {
  program.prefill = waitingPrefill;
  Model model = open(program);
  Session session = start(model);
  stepStarted = stepMayEnd = false;
  std::thread canceller([&] {
    while (!stepStarted)
      std::this_thread::yield();
    lfm_session_cancel(session.get());
    stepMayEnd = true;
  });
  Ids ids = prompt(20);
  EXPECT_EQ(lfm_session_prefill(session.get(), ids.data(), 20, nullptr),
            LFM_ERROR_CANCELLED);
  canceller.join();
  // The step under way was finished and counts, the next was not begun.
  EXPECT_EQ(lfm_session_position(session.get()), fake::kPrefill);
}

TEST_F(SessionTest, ConcurrentSessions) {
  Ids ids = prompt(50);
  auto rows = expected(ids);
  Model model = open(program);
  std::atomic<int> wrong{0};
  std::vector<std::thread> users;
  for (int32_t user = 0; user < 4; ++user)
    users.emplace_back([&, user] {
      Session session = start(model, 1 + user % 3);
      std::vector<float> logits(64);
      for (int round = 0; round < 5; ++round) {
        lfm_session_reset(session.get());
        for (size_t i = 0; i < ids.size(); ++i) {
          lfm_session_decode(session.get(), ids[i], logits.data());
          wrong += logits != rows[i];
        }
      }
    });
  for (std::thread &user : users)
    user.join();
  EXPECT_EQ(wrong, 0);
}

TEST_F(SessionTest, NullSessions) {
  EXPECT_EQ(lfm_session_prefill(nullptr, nullptr, 0, nullptr),
            LFM_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(lfm_session_decode(nullptr, 0, nullptr),
            LFM_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(lfm_session_logits(nullptr, nullptr, 0, nullptr),
            LFM_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(lfm_session_set_threads(nullptr, 1), LFM_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(lfm_session_position(nullptr), 0);
  EXPECT_EQ(lfm_session_snapshot_size(nullptr), 0u);
  EXPECT_STREQ(lfm_session_message(nullptr), "session is null");
  lfm_session_reset(nullptr);
  lfm_session_cancel(nullptr);
}

} // namespace

// SPDX-License-Identifier: Apache-2.0
#include "SessionFixture.h"

#include <cstring>

namespace {

class SnapshotTest : public SessionTest {
protected:
  static std::vector<uint8_t> save(lfm_session *session) {
    std::vector<uint8_t> blob(lfm_session_snapshot_size(session));
    EXPECT_EQ(lfm_session_snapshot_save(session, blob.data(), blob.size()),
              LFM_OK);
    return blob;
  }

  Ids ids = prompt(50);
  std::vector<std::vector<float>> rows = expected(ids);
};

TEST_F(SnapshotTest, RoundTrip) {
  Model model = open(program);
  for (size_t at : {0, 1, 5, 33}) {
    Session session = start(model);
    ASSERT_EQ(lfm_session_prefill(session.get(), ids.data(), at, nullptr),
              LFM_OK);
    std::vector<uint8_t> blob = save(session.get());

    // Back in the same session, after another continuation ...
    lfm_session *s = session.get();
    ASSERT_EQ(lfm_session_prefill(s, &ids[20], 9, nullptr), LFM_OK);
    // ... and in a new one, from memory that is not aligned.
    std::vector<uint8_t> shifted(blob.size() + 1);
    memcpy(&shifted[1], blob.data(), blob.size());
    Session other = start(model, 3);
    ASSERT_EQ(lfm_session_snapshot_load(s, blob.data(), blob.size()), LFM_OK);
    ASSERT_EQ(lfm_session_snapshot_load(other.get(), &shifted[1], blob.size()),
              LFM_OK);
    for (lfm_session *restored : {s, other.get()}) {
      EXPECT_EQ(lfm_session_position(restored), static_cast<int32_t>(at));
      EXPECT_TRUE(std::equal(ids.begin(), ids.begin() + static_cast<long>(at),
                             lfm_session_tokens(restored)));
      EXPECT_EQ(lfm_session_last_logits(restored), nullptr);
      EXPECT_EQ(save(restored), blob);
      std::vector<float> logits(64);
      for (size_t i = at; i < ids.size(); ++i) {
        ASSERT_EQ(lfm_session_decode(restored, ids[i], logits.data()), LFM_OK);
        ASSERT_EQ(logits, rows[i]);
      }
    }
  }
}

TEST_F(SnapshotTest, HoldsOnlyWhatIsUsed) {
  Model model = open(program);
  Session session = start(model);
  size_t empty = lfm_session_snapshot_size(session.get());
  ASSERT_EQ(lfm_session_prefill(session.get(), ids.data(), 10, nullptr),
            LFM_OK);
  // Per token its id and, in whole granules of four, eight bytes of "kv".
  EXPECT_EQ(lfm_session_snapshot_size(session.get()), empty + 10 * 4 + 12 * 8);
  std::vector<uint8_t> blob(empty);
  EXPECT_EQ(lfm_session_snapshot_save(session.get(), blob.data(), blob.size()),
            LFM_ERROR_BUFFER_TOO_SMALL);
  EXPECT_EQ(lfm_session_snapshot_save(session.get(), nullptr, 1000),
            LFM_ERROR_INVALID_ARGUMENT);
}

TEST_F(SnapshotTest, ForeignAndDamagedOnesChangeNothing) {
  Model model = open(program);
  Session session = start(model);
  lfm_session *s = session.get();
  ASSERT_EQ(lfm_session_prefill(s, ids.data(), 12, nullptr), LFM_OK);
  const std::vector<uint8_t> good = save(s);
  ASSERT_EQ(lfm_session_prefill(s, &ids[12], 8, nullptr), LFM_OK);

  auto refused = [&](const std::vector<uint8_t> &blob) {
    EXPECT_EQ(lfm_session_snapshot_load(s, blob.data(), blob.size()),
              LFM_ERROR_SNAPSHOT);
    EXPECT_STRNE(lfm_session_message(s), "");
    EXPECT_EQ(lfm_session_position(s), 20);
  };
  // Truncated at every byte, one byte too long.
  EXPECT_EQ(lfm_session_snapshot_load(s, good.data(), 0), LFM_ERROR_SNAPSHOT);
  for (size_t bytes = 1; bytes < good.size(); ++bytes)
    refused({good.begin(), good.begin() + static_cast<long>(bytes)});
  std::vector<uint8_t> damaged = good;
  damaged.push_back(0);
  refused(damaged);
  // Magic, weights, layout, size, position: every byte of them counts.
  for (size_t at = 0; at < 44; ++at) {
    damaged = good;
    damaged[at] ^= 0x80;
    refused(damaged);
  }
  // A token outside the vocabulary.
  damaged = good;
  int32_t token = 64;
  memcpy(&damaged[48 + 3 * 4], &token, sizeof token);
  refused(damaged);
  EXPECT_EQ(lfm_session_snapshot_load(s, nullptr, 10),
            LFM_ERROR_INVALID_ARGUMENT);

  std::vector<float> logits(64);
  ASSERT_EQ(lfm_session_decode(s, ids[20], logits.data()), LFM_OK);
  EXPECT_EQ(logits, rows[20]);
}

TEST_F(SnapshotTest, OfAnotherTargetIsForeign) {
  Model model = open(program);
  Session session = start(model);
  std::vector<uint8_t> blob = save(session.get());
  lfm_program other = program;
  other.target = "test2";
  Model otherModel = open(other);
  Session otherSession = start(otherModel);
  EXPECT_EQ(
      lfm_session_snapshot_load(otherSession.get(), blob.data(), blob.size()),
      LFM_ERROR_SNAPSHOT);
}

} // namespace

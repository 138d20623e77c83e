// SPDX-License-Identifier: Apache-2.0
#include "SessionFixture.h"
#include "TokenizerFixture.h"
#include "lfm/lfm.hpp"

namespace {

class WrapperTest : public SessionTest {
protected:
  WrapperTest() {
    program = fake::makeProgram(true, 4112);
    program.tokenizer = t.block.data();
    program.tokenizer_bytes = t.block.size();
  }
  CompiledTokenizer t{dataPath("tokenizer/small")};
};

TEST_F(WrapperTest, FromPromptToText) {
  lfm::Model model(&program, weights);
  EXPECT_STREQ(model.info().name, "fake");
  lfm::Session session(model, 2);
  lfm::Tokens prompt = model.tokenizer().chat({{"user", "Hi"}});
  EXPECT_EQ(model.tokenizer().decode(prompt),
            "<|startoftext|><|im_start|>user\nHi<|im_end|>\n"
            "<|im_start|>assistant\n");
  fake::script.assign(prompt.size() - 1, -1);
  for (int32_t id : t.encode("Good day!"))
    fake::script.push_back(id);
  fake::script.push_back(7);
  std::string text;
  auto result = session.generate(prompt, [&](int32_t, std::string_view piece) {
    text += piece;
    return true;
  });
  EXPECT_EQ(text, "Good day!");
  EXPECT_EQ(result.reason, LFM_STOP_EOS);
  EXPECT_EQ(session.position(),
            static_cast<int32_t>(prompt.size()) + result.tokens - 1);
}

TEST_F(WrapperTest, SnapshotsAndLogits) {
  lfm::Model model(&program, weights);
  lfm::Session session(model), other(model);
  Ids ids = prompt(6);
  auto rows = expected(ids, 4112);
  session.prefill({ids.begin(), ids.begin() + 3});
  other.restore(session.snapshot());
  std::vector<float> all = other.logits({ids.begin() + 3, ids.end()});
  EXPECT_TRUE(std::equal(rows[5].begin(), rows[5].end(), all.end() - 4112));
  const float *last = session.decode(ids[3]);
  EXPECT_TRUE(std::equal(rows[3].begin(), rows[3].end(), last));
}

TEST_F(WrapperTest, SessionsWithOptions) {
  lfm::Model model(&program, weights);
  lfm_session_options options = {};
  options.threads = 3;
  EXPECT_EQ(lfm_session_threads(lfm::Session(model, options).get()), 3);
  options.cores = 7;
  EXPECT_THROW(lfm::Session(model, options), lfm::Error);
}

TEST_F(WrapperTest, ErrorsAreExceptions) {
  try {
    lfm::Model model(&program, dir + "/none");
    FAIL();
  } catch (const lfm::Error &error) {
    EXPECT_EQ(error.status(), LFM_ERROR_FILE);
    EXPECT_NE(std::string(error.what()).find("/none"), std::string::npos);
  }
  lfm::Model model(&program, weights);
  lfm::Session session(model);
  try {
    session.prefill({-5});
    FAIL();
  } catch (const lfm::Error &error) {
    EXPECT_EQ(error.status(), LFM_ERROR_TOKEN_RANGE);
    EXPECT_NE(std::string(error.what()).find("found -5"), std::string::npos);
  }
  EXPECT_THROW(session.generate({1},
                                [](int32_t, std::string_view) -> bool {
                                  throw std::logic_error("callback");
                                }),
               std::logic_error);
}

} // namespace

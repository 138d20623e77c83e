// SPDX-License-Identifier: Apache-2.0
#include "SessionFixture.h"
#include "TokenizerFixture.h"

namespace {

/// Generates with the fake program of 4112 rows and the small tokenizer's 4096
/// tokens; fake::script says what.
class GenerateTest : public SessionTest {
protected:
  GenerateTest() {
    lfm_generate_params_default(&params);
    program = fake::makeProgram(true, 4112);
    program.tokenizer = t.block.data();
    program.tokenizer_bytes = t.block.size();
    model = open(program);
    session = start(model);
  }

  /// Makes the model say `text` after a prompt of one token.
  void say(const std::string &text, const Ids &then = {7}) {
    fake::script = t.encode(text, 0);
    fake::script.insert(fake::script.end(), then.begin(), then.end());
  }

  lfm_status run(const Ids &prompt = {1}) {
    text.clear();
    pieces.clear();
    tokens.clear();
    return lfm_generate(
        session.get(), prompt.data(), prompt.size(), &params,
        [](void *self, int32_t token, const char *piece, size_t bytes) {
          auto &test = *static_cast<GenerateTest *>(self);
          test.tokens.push_back(token);
          test.pieces.emplace_back(piece, bytes);
          test.text.append(piece, bytes);
          return static_cast<int>(test.tokens.size() == test.stopAfter);
        },
        this, &result);
  }

  CompiledTokenizer t{dataPath("tokenizer/small")};
  Model model;
  Session session;
  lfm_generate_params params;
  lfm_generate_result result;
  std::string text;
  std::vector<std::string> pieces;
  Ids tokens;
  size_t stopAfter = 0;
};

TEST_F(GenerateTest, StopsAtEndTokens) {
  for (int32_t end : {7, 9}) {
    lfm_session_reset(session.get());
    say("Hello world, 123!", {end});
    ASSERT_EQ(run(), LFM_OK);
    EXPECT_EQ(text, "Hello world, 123!");
    EXPECT_EQ(result.reason, LFM_STOP_EOS);
    EXPECT_EQ(result.stop_token, end);
    EXPECT_EQ(result.pending, end);
    EXPECT_EQ(result.tokens, static_cast<int32_t>(fake::script.size()));
    EXPECT_EQ(lfm_session_position(session.get()), result.tokens);
    EXPECT_GE(result.prompt_seconds, 0);
    EXPECT_GE(result.decode_seconds, 0);
  }
}

TEST_F(GenerateTest, EndTokensCanBeIgnored) {
  say("a", {7});
  params.flags = LFM_GENERATE_IGNORE_EOS;
  params.max_tokens = 5;
  ASSERT_EQ(run(), LFM_OK);
  EXPECT_EQ(result.reason, LFM_STOP_MAX_TOKENS);
  EXPECT_EQ(result.tokens, 5);
  EXPECT_EQ(tokens[1], 7);
  EXPECT_EQ(pieces[1], ""); // special tokens have no text ...
  lfm_session_reset(session.get());
  params.flags |= LFM_GENERATE_SPECIAL_TEXT;
  params.max_tokens = 2;
  ASSERT_EQ(run(), LFM_OK);
  EXPECT_EQ(text, "a<|im_end|>"); // ... unless asked for
}

TEST_F(GenerateTest, PendingTokenContinues) {
  say("one two three four five six");
  params.max_tokens = 3;
  ASSERT_EQ(run(), LFM_OK);
  EXPECT_EQ(lfm_session_position(session.get()), 3); // prompt + 3 - pending
  std::string first = text;
  params.max_tokens = 0;
  ASSERT_EQ(run({result.pending}), LFM_OK);
  EXPECT_EQ(first + text, "one two three four five six");
}

TEST_F(GenerateTest, StopsWhenTheContextIsFull) {
  params.flags = LFM_GENERATE_IGNORE_EOS;
  ASSERT_EQ(run(Ids(60, 10)), LFM_OK);
  EXPECT_EQ(result.reason, LFM_STOP_CONTEXT);
  EXPECT_EQ(result.tokens, 5); // the last needs no room
  EXPECT_EQ(lfm_session_position(session.get()), fake::kContext);
  EXPECT_EQ(run({10}), LFM_ERROR_CONTEXT_FULL);
  EXPECT_EQ(result.reason, LFM_STOP_NONE);
  EXPECT_EQ(result.pending, -1);
}

TEST_F(GenerateTest, StopStrings) {
  const char *stops[] = {"STOP", "\n\n", "ND"};
  params.stop = stops;
  params.stop_count = 3;
  struct {
    const char *says, *gives;
    lfm_stop_reason reason;
  } rows[] = {{"go on STOP no", "go on ", LFM_STOP_STRING},
              {"go STO go ST", "go STO go ST", LFM_STOP_EOS},
              {"line\nline\n\nmore", "line\nline", LFM_STOP_STRING},
              {"THE END STOP", "THE E", LFM_STOP_STRING},
              {"STOP", "", LFM_STOP_STRING},
              {"N", "N", LFM_STOP_EOS}};
  for (const auto &row : rows) {
    lfm_session_reset(session.get());
    say(row.says);
    ASSERT_EQ(run(), LFM_OK);
    EXPECT_EQ(text, row.gives);
    EXPECT_EQ(result.reason, row.reason) << row.says;
  }
}

TEST_F(GenerateTest, TextComesInWholeCharacters) {
  say("naïve 日本語 😀👍🏽 end");
  ASSERT_EQ(run(), LFM_OK);
  EXPECT_EQ(text, "naïve 日本語 😀👍🏽 end");
  size_t heldBack = 0;
  for (const std::string &piece : pieces) {
    heldBack += piece.empty();
    EXPECT_TRUE(piece.empty() || (piece[0] & 0xc0) != 0x80) << piece;
  }
  EXPECT_GT(heldBack, 0u);
  // An incomplete character at the end becomes one U+FFFD, with token -1.
  lfm_session_reset(session.get());
  Ids bytes = t.encode("\xf0\x9f\x98", 0);
  fake::script = bytes;
  fake::script.push_back(7);
  ASSERT_EQ(run(), LFM_OK);
  EXPECT_EQ(text, "\xef\xbf\xbd");
  EXPECT_EQ(tokens.back(), -1);
}

TEST_F(GenerateTest, CallbackStops) {
  say("one two three four");
  stopAfter = 2;
  ASSERT_EQ(run(), LFM_OK);
  EXPECT_EQ(result.reason, LFM_STOP_CALLBACK);
  EXPECT_EQ(result.tokens, 2);
  EXPECT_EQ(tokens.size(), 2u);
}

TEST_F(GenerateTest, CancelStops) {
  lfm_session_cancel(session.get());
  ASSERT_EQ(run(), LFM_OK);
  EXPECT_EQ(result.reason, LFM_STOP_CANCELLED);
  EXPECT_EQ(result.tokens, 0);
  ASSERT_EQ(lfm_generate(
                session.get(), &fake::kPrefill, 1, &params,
                [](void *s, int32_t, const char *, size_t) {
                  lfm_session_cancel(static_cast<lfm_session *>(s));
                  return 0;
                },
                session.get(), &result),
            LFM_OK);
  EXPECT_EQ(result.reason, LFM_STOP_CANCELLED);
  EXPECT_EQ(result.tokens, 1);
}

TEST_F(GenerateTest, SeedsRepeat) {
  params.sampling = {1.5f, 0, 0.9f, 0, 1.1f, 42};
  params.max_tokens = 20;
  params.flags = LFM_GENERATE_IGNORE_EOS;
  ASSERT_EQ(run(), LFM_OK);
  Ids first = tokens;
  lfm_session_reset(session.get());
  ASSERT_EQ(run(), LFM_OK);
  EXPECT_EQ(tokens, first);
  lfm_session_reset(session.get());
  params.sampling.seed = 43;
  ASSERT_EQ(run(), LFM_OK);
  EXPECT_NE(tokens, first);
}

TEST_F(GenerateTest, PenaltyKnowsThePrompt) {
  // Token 100 is preferred by far at every position, until it is punished.
  fake::script.assign(64, 100);
  params.max_tokens = 3;
  ASSERT_EQ(run({1}), LFM_OK);
  EXPECT_EQ(tokens, Ids({100, 100, 100}));
  lfm_session_reset(session.get());
  params.sampling.repetition_penalty = 1000;
  ASSERT_EQ(run({1}), LFM_OK);
  EXPECT_EQ(tokens[0], 100);
  EXPECT_NE(tokens[1], 100);
  lfm_session_reset(session.get());
  ASSERT_EQ(run({1, 100}), LFM_OK);
  EXPECT_NE(tokens[0], 100);
}

TEST_F(GenerateTest, UnusedRowsAreNeverChosen) {
  fake::script.assign(64, 4100); // rows 4096.. belong to no token
  params.max_tokens = 10;
  ASSERT_EQ(run(), LFM_OK);
  for (int32_t token : tokens)
    EXPECT_LT(token, 4096);
}

TEST_F(GenerateTest, DefaultsComeFromTheCheckpoint) {
  lfm_sampling s;
  ASSERT_EQ(lfm_sampling_default(model.get(), &s), LFM_OK);
  EXPECT_EQ(s.temperature, 0);
  program.sampling.repetition_penalty = 1.05f;
  program.sampling.min_p = 0.15f;
  ASSERT_EQ(lfm_sampling_default(open(program).get(), &s), LFM_OK);
  EXPECT_EQ(s.temperature, 1);
  EXPECT_EQ(s.top_k, 50);
  EXPECT_EQ(s.min_p, 0.15f);
  EXPECT_EQ(s.repetition_penalty, 1.05f);
  program.sampling.temperature = 0.3f;
  program.sampling.top_k = 7;
  ASSERT_EQ(lfm_sampling_default(open(program).get(), &s), LFM_OK);
  EXPECT_EQ(s.temperature, 0.3f);
  EXPECT_EQ(s.top_k, 7);
}

TEST_F(GenerateTest, WrongArguments) {
  EXPECT_EQ(run({}), LFM_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(
      lfm_generate(nullptr, nullptr, 0, nullptr, nullptr, nullptr, nullptr),
      LFM_ERROR_INVALID_ARGUMENT);
  params.max_tokens = -1;
  EXPECT_EQ(run(), LFM_ERROR_INVALID_ARGUMENT);
  params.max_tokens = 0;
  params.sampling.top_p = 1.5f;
  EXPECT_EQ(run(), LFM_ERROR_INVALID_ARGUMENT);
  EXPECT_NE(std::string(lfm_session_message(session.get())).find("top_p 1.5"),
            std::string::npos);
  params.sampling.top_p = 0;
  std::string tooLong(LFM_MAX_STOP_BYTES, 'x');
  for (const char *stop : {"", "\xff", tooLong.c_str()}) {
    params.stop = &stop;
    params.stop_count = 1;
    EXPECT_EQ(run(), LFM_ERROR_INVALID_ARGUMENT);
  }
  params.stop_count = LFM_MAX_STOP_STRINGS + 1;
  EXPECT_EQ(run(), LFM_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(lfm_session_position(session.get()), 0);
}

TEST_F(GenerateTest, WorksWithoutTokenizer) {
  program.tokenizer = nullptr;
  Model bare = open(program);
  session = start(bare);
  fake::script = {20, 21, 22, 7};
  ASSERT_EQ(run(), LFM_OK);
  EXPECT_EQ(tokens, Ids({20, 21, 22}));
  EXPECT_EQ(text, "");
  const char *stop = "x";
  params.stop = &stop;
  params.stop_count = 1;
  EXPECT_EQ(run(), LFM_ERROR_NO_TOKENIZER);
}

} // namespace

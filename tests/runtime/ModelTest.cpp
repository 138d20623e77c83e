// SPDX-License-Identifier: Apache-2.0
#include "SessionFixture.h"

#include <cstring>

namespace {

class ModelTest : public SessionTest {
protected:
  /// Opening must fail like this, with a message that contains `part`.
  void expectError(lfm_status wanted, const std::string &path,
                   const std::string &part) {
    auto *model = reinterpret_cast<lfm_model *>(16);
    char message[256] = "";
    EXPECT_EQ(lfm_model_open(&program, path.c_str(), nullptr, &model, message,
                             sizeof message),
              wanted);
    EXPECT_EQ(model, nullptr);
    EXPECT_NE(std::string(message).find(part), std::string::npos) << message;
    // Without room for a message it is the same error.
    EXPECT_EQ(
        lfm_model_open(&program, path.c_str(), nullptr, &model, nullptr, 0),
        wanted);
  }

  std::string contents() {
    std::ifstream file(weights, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  std::string with(const std::string &bytes) {
    std::string path = dir + "/other.weights";
    std::ofstream(path, std::ios::binary) << bytes;
    return path;
  }
};

TEST_F(ModelTest, Info) {
  Model model = open(program);
  lfm_model_info info;
  ASSERT_EQ(lfm_model_get_info(model.get(), &info), LFM_OK);
  EXPECT_STREQ(info.name, "fake");
  EXPECT_EQ(info.vocab_size, 64);
  EXPECT_EQ(info.max_context, fake::kContext);
  EXPECT_EQ(info.max_prefill, fake::kPrefill);
  EXPECT_EQ(info.eos_count, 2);
  EXPECT_EQ(info.weights_bytes, program.weights_bytes);
  EXPECT_EQ(info.state_bytes_per_token, 8u);
  EXPECT_GT(info.session_bytes, info.state_bytes + info.arena_bytes);
  EXPECT_EQ(lfm_model_tokenizer(model.get()), nullptr);
  EXPECT_EQ(lfm_model_get_info(nullptr, &info), LFM_ERROR_INVALID_ARGUMENT);
}

TEST_F(ModelTest, BestLevel) {
  lfm_program worst = program, better = program, best = program;
  const lfm_program *levels[] = {&best, &better};
  worst.levels = levels;
  worst.level_count = 2;
  worst.target = "worst";
  better.target = "better";
  best.target = "best";
  auto chosen = [&] {
    Model model = open(worst);
    lfm_model_info info;
    EXPECT_EQ(lfm_model_get_info(model.get(), &info), LFM_OK);
    return std::string(info.target);
  };
  EXPECT_EQ(chosen(), "best");
  best.cpu_features = 1u << 31; // no processor has it
  EXPECT_EQ(chosen(), "better");
  better.cpu_features = 1u << 31;
  EXPECT_EQ(chosen(), "worst");
}

TEST_F(ModelTest, FileErrors) {
  expectError(LFM_ERROR_FILE, dir + "/none.weights", "none.weights");
  expectError(LFM_ERROR_FILE, dir, "not a regular file");
}

TEST_F(ModelTest, HostileWeights) {
  std::string good = contents();
  ASSERT_EQ(good.size(), program.weights_bytes);
  for (size_t bytes : {size_t{0}, size_t{1}, size_t{8}, size_t{31}})
    expectError(LFM_ERROR_WEIGHTS, with(good.substr(0, bytes)), "truncated");
  for (size_t bytes : {size_t{32}, good.size() / 2, good.size() - 1})
    expectError(LFM_ERROR_WEIGHTS, with(good.substr(0, bytes)),
                "expected 17408 bytes, found " + std::to_string(bytes));
  expectError(LFM_ERROR_WEIGHTS, with(good + "x"), "truncated or grown");

  std::string other = good;
  other[0] = 'X';
  expectError(LFM_ERROR_WEIGHTS, with(other), "not a weights file");
  other = good;
  other[8] ^= 1;
  expectError(LFM_ERROR_WEIGHTS, with(other), "another model");
  // A whole file of the right id, but not of the size the program was made for.
  other = good + std::string(64, '\0');
  uint64_t bytes = other.size();
  memcpy(&other[24], &bytes, sizeof bytes);
  expectError(LFM_ERROR_WEIGHTS, with(other), "another model");
}

TEST_F(ModelTest, ProgramOfAnotherRuntime) {
  program.abi = LFM_PROGRAM_ABI + 1;
  expectError(LFM_ERROR_ABI, weights,
              "runtime ABI " + std::to_string(LFM_PROGRAM_ABI + 1));
  program.abi = LFM_PROGRAM_ABI;
  program.bytes += 8;
  expectError(LFM_ERROR_ABI, weights, "ABI");
}

TEST_F(ModelTest, IncompleteProgram) {
  const lfm_program good = program;
  program.head = nullptr;
  expectError(LFM_ERROR_ABI, weights, "incomplete");
  program = good;
  program.max_prefill = 0;
  expectError(LFM_ERROR_ABI, weights, "incomplete");
  program = good;
  program.state_bytes = 8;
  expectError(LFM_ERROR_ABI, weights, "incomplete");
  program = good;
  fake::cutPrompt(program);
  const lfm_program cut = program;
  program.prompt = nullptr;
  expectError(LFM_ERROR_ABI, weights, "incomplete");
  program = cut;
  program.prompt_end = nullptr;
  expectError(LFM_ERROR_ABI, weights, "incomplete");
  for (int32_t rows : {0, -1, fake::kPrefill}) {
    program = cut;
    program.prompt_rows = rows;
    expectError(LFM_ERROR_ABI, weights, "incomplete");
  }
  program = good;
  program.prompt_rows = 1;
  expectError(LFM_ERROR_ABI, weights, "incomplete");
}

TEST_F(ModelTest, ProcessorLacksInstructions) {
  program.cpu_features = 1u << 31;
  program.target = "future";
  expectError(LFM_ERROR_CPU, weights, "compiled for future");
  program.cpu_features = 0;
#if defined(__x86_64__)
  program.cpu_features = LFM_CPU_X86_V2;
  EXPECT_NE(open(program), nullptr);
#if defined(__linux__)
  // What the system says about the processor must be what we find out.
  std::ifstream file("/proc/cpuinfo");
  std::string info{std::istreambuf_iterator<char>(file), {}};
  auto has = [&](const char *flag) {
    return info.find(std::string(" ") + flag + " ") != std::string::npos ||
           info.find(std::string(" ") + flag + "\n") != std::string::npos;
  };
  const std::pair<uint32_t, bool> features[] = {
      {LFM_CPU_X86_V3, has("avx2") && has("fma") && has("bmi2")},
      {LFM_CPU_X86_V4, has("avx512f") && has("avx512vl") && has("avx512bw")},
      {LFM_CPU_AVX512_ICELAKE, has("avx512_vnni") && has("avx512ifma") &&
                                   has("avx512vbmi") && has("avx512_vbmi2") &&
                                   has("avx512_bitalg") &&
                                   has("avx512_vpopcntdq") && has("gfni") &&
                                   has("vaes") && has("vpclmulqdq")},
      {LFM_CPU_AVX512_BF16, has("avx512_bf16")},
      {LFM_CPU_AVX_VNNI, has("avx_vnni")},
      {LFM_CPU_AMX_INT8, has("amx_int8")}};
  for (auto [bit, there] : features) {
    program.cpu_features = bit;
    lfm_model *model = nullptr;
    EXPECT_EQ(
        lfm_model_open(&program, weights.c_str(), nullptr, &model, nullptr, 0),
        there ? LFM_OK : LFM_ERROR_CPU)
        << bit;
    lfm_model_close(model);
  }
#endif
#endif
}

TEST_F(ModelTest, DamagedTokenizer) {
  alignas(8) static const uint8_t tables[64] = "LFMTOKN1";
  program.tokenizer = tables;
  program.tokenizer_bytes = sizeof tables;
  expectError(LFM_ERROR_TOKENIZER, weights, "tokenizer");
}

TEST_F(ModelTest, WrongArguments) {
  lfm_model *model = nullptr;
  char message[64];
  EXPECT_EQ(lfm_model_open(nullptr, "x", nullptr, &model, message, 64),
            LFM_ERROR_INVALID_ARGUMENT);
  EXPECT_STREQ(message, "program is null");
  EXPECT_EQ(lfm_model_open(&program, nullptr, nullptr, &model, message, 64),
            LFM_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(
      lfm_model_open(&program, weights.c_str(), nullptr, nullptr, message, 64),
      LFM_ERROR_INVALID_ARGUMENT);
  lfm_model_options options = {};
  options.reserved[3] = 1;
  EXPECT_EQ(
      lfm_model_open(&program, weights.c_str(), &options, &model, message, 64),
      LFM_ERROR_INVALID_ARGUMENT);
  lfm_model_close(nullptr);
  lfm_session_destroy(nullptr);
}

TEST_F(ModelTest, EveryWayToLoadGivesTheSameWeights) {
  Ids ids = prompt(5);
  for (uint32_t flags = 0; flags < 8; ++flags) {
    Model model = open(program, flags);
    Session session = start(model, 1);
    std::vector<float> logits(64);
    ASSERT_EQ(lfm_session_prefill(session.get(), ids.data(), ids.size(),
                                  logits.data()),
              LFM_OK);
    EXPECT_EQ(logits, expected(ids).back()) << flags;
  }
}

TEST_F(ModelTest, ReadWeightsOutliveTheFile) {
  Model model = open(program, LFM_MODEL_READ);
  std::filesystem::resize_file(weights, 0);
  Session session = start(model);
  Ids ids = prompt(3);
  std::vector<float> logits(64);
  ASSERT_EQ(lfm_session_prefill(session.get(), ids.data(), 3, logits.data()),
            LFM_OK);
  EXPECT_EQ(logits, expected(ids).back());
}

TEST_F(ModelTest, SessionsKeepTheModel) {
  Model model = open(program);
  Session session = start(model);
  model.reset();
  EXPECT_EQ(lfm_session_decode(session.get(), 11, nullptr), LFM_OK);
  EXPECT_NE(lfm_session_last_logits(session.get()), nullptr);
}

TEST(Status, EveryStatusHasAText) {
  const lfm_status all[] = {LFM_OK,
                            LFM_ERROR_INVALID_ARGUMENT,
                            LFM_ERROR_TOKEN_RANGE,
                            LFM_ERROR_BUFFER_TOO_SMALL,
                            LFM_ERROR_NO_TOKENIZER,
                            LFM_ERROR_NO_CHAT_TEMPLATE,
                            LFM_ERROR_ABI,
                            LFM_ERROR_CPU,
                            LFM_ERROR_OUT_OF_MEMORY,
                            LFM_ERROR_FILE,
                            LFM_ERROR_THREADS,
                            LFM_ERROR_WEIGHTS,
                            LFM_ERROR_SNAPSHOT,
                            LFM_ERROR_TOKENIZER,
                            LFM_ERROR_NUMERIC,
                            LFM_ERROR_CONTEXT_FULL,
                            LFM_ERROR_CANCELLED};
  for (lfm_status status : all)
    EXPECT_STRNE(lfm_status_string(status), "unknown status");
  EXPECT_STREQ(lfm_status_string(999), "unknown status");
}

} // namespace

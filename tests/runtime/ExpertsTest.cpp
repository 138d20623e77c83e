// SPDX-License-Identifier: Apache-2.0
//
// Experts of a session: how often they were chosen, and how much of them stays
// mapped in. The program chooses experts by its tokens and reads their weights.
#include "SessionFixture.h"

#include <cstring>

namespace {

constexpr int32_t layers = 2, count = 8;
constexpr uint64_t half = 8 << 20; // of an expert: up, and down

lfm_experts_info table[layers];

/// Token t chooses experts t % 8 and (t + 3) % 8 of each layer.
void choose(const lfm_args *args, lfm_sync *sync, int32_t thread) {
  auto *tokens = static_cast<const int32_t *>(args->input);
  std::vector<int32_t> chosen;
  for (int64_t i = 0; i < args->n; ++i)
    for (int32_t step : {0, 3})
      chosen.push_back((tokens[i] + step) % count);
  for (const lfm_experts_info &layer : table) {
    if (thread == 0 && sync->chosen)
      sync->chosen(sync, layer.up_offset, chosen.data(),
                   static_cast<int64_t>(chosen.size()));
    for (int32_t expert : chosen) {
      auto e = static_cast<uint64_t>(expert);
      for (uint64_t at = 0; at < half; at += 4096) {
        args->arena[0] ^= args->weights[layer.up_offset + e * half + at];
        args->arena[0] ^= args->weights[layer.down_offset + e * half + at];
      }
    }
  }
  sync->barrier(sync, 0);
}

void decode(const lfm_args *args, lfm_sync *sync, int32_t thread) {
  choose(args, sync, thread);
  std::memset(args->output, 0, 64 * sizeof(float));
}

void prefill(const lfm_args *args, lfm_sync *sync, int32_t thread) {
  choose(args, sync, thread);
  std::memset(args->output, 0, static_cast<size_t>(args->n) * 16 * 4);
}

class ExpertsTest : public SessionTest {
protected:
  ExpertsTest() {
    uint64_t at = LFM_WEIGHTS_DATA;
    for (int32_t i = 0; i < layers; ++i) {
      table[i] = {at, half, at + count * half, half, i + 2, count, 2};
      at += 2 * count * half;
    }
    program.experts = table;
    program.expert_layers = layers;
    program.decode = decode;
    program.prefill = prefill;
    program.weights_bytes = at;
    lfm_weights_header header = {};
    std::memcpy(header.magic, LFM_WEIGHTS_MAGIC, 8);
    std::memcpy(header.id, program.weights_id, 16);
    header.file_bytes = at;
    // Holes: what is written at once may be mapped in by 2 MiB.
    std::ofstream(weights, std::ios::binary)
        .write(reinterpret_cast<const char *>(&header), sizeof header);
    std::filesystem::resize_file(weights, at);
  }

  Model openBounded(uint32_t mebibytes, uint32_t flags,
                    lfm_status wanted = LFM_OK) {
    lfm_model *model = nullptr;
    lfm_model_options options = {};
    options.flags = flags;
    options.expert_mib = mebibytes;
    char message[256] = "";
    EXPECT_EQ(lfm_model_open(&program, weights.c_str(), &options, &model,
                             message, sizeof message),
              wanted)
        << message;
    return Model(model);
  }

  std::vector<uint64_t> uses(const Session &session, int32_t index) {
    lfm_expert_uses found = {};
    EXPECT_EQ(lfm_session_experts(session.get(), index, &found), LFM_OK);
    EXPECT_EQ(found.layer, index + 2);
    EXPECT_EQ(found.per_token, 2);
    return {found.uses, found.uses + found.experts};
  }

  /// KiB of the weights file that are mapped into this process.
  size_t residentKib() const {
    std::ifstream maps("/proc/self/smaps");
    size_t total = 0;
    bool ours = false;
    for (std::string line; std::getline(maps, line);) {
      if (line.find('-') < line.find(' '))
        ours = line.find(weights) != std::string::npos;
      if (ours && line.rfind("Rss:", 0) == 0)
        total += std::stoul(line.substr(4));
    }
    return total;
  }
};

TEST_F(ExpertsTest, CountsWhatTokensChoose) {
  Model model = open(program);
  for (int32_t threads : {1, 3}) {
    Session session = start(model, threads);
    Ids ids{1, 2, 9};
    ASSERT_EQ(
        lfm_session_prefill(session.get(), ids.data(), ids.size(), nullptr),
        LFM_OK);
    ASSERT_EQ(lfm_session_decode(session.get(), 4, nullptr), LFM_OK);
    std::vector<uint64_t> wanted{0, 2, 1, 0, 3, 1, 0, 1};
    EXPECT_EQ(uses(session, 0), wanted);
    EXPECT_EQ(uses(session, 1), wanted);
    lfm_session_reset(session.get());
    EXPECT_EQ(uses(session, 0), std::vector<uint64_t>(count));
    lfm_expert_uses none;
    EXPECT_EQ(lfm_session_experts(session.get(), layers, &none),
              LFM_ERROR_INVALID_ARGUMENT);
    EXPECT_EQ(lfm_session_experts(session.get(), -1, &none),
              LFM_ERROR_INVALID_ARGUMENT);
  }
}

TEST_F(ExpertsTest, KeepsNoMoreThanAllowed) {
  // Two of four experts of a step fit: those of the last layer.
  constexpr uint32_t mebibytes = 40;
  Model bounded = openBounded(mebibytes, 0);
  Session session = start(bounded);
  size_t most = 0;
  for (int32_t token = 0; token < 40; ++token) {
    ASSERT_EQ(lfm_session_decode(session.get(), 10 + token, nullptr), LFM_OK);
    most = std::max(most, residentKib());
  }
  // The system may map 2 MiB at once; of those at the edges a part stays.
  EXPECT_LE(most, 2 * mebibytes * 1024);
  EXPECT_GE(most, 32 * 1024u);
  session.reset();
  bounded.reset();

  Model free = open(program);
  session = start(free);
  for (int32_t token = 0; token < 40; ++token)
    ASSERT_EQ(lfm_session_decode(session.get(), 10 + token, nullptr), LFM_OK);
  EXPECT_GE(residentKib(), 240 * 1024u);
}

TEST_F(ExpertsTest, BoundIsForMappedFilesOfModelsWithExperts) {
  openBounded(8, LFM_MODEL_READ, LFM_ERROR_INVALID_ARGUMENT);
  program.expert_layers = 0;
  Model dense = openBounded(8, 0);
  EXPECT_TRUE(dense);
  Session session = start(dense);
  ASSERT_EQ(lfm_session_decode(session.get(), 3, nullptr), LFM_OK);
}

} // namespace

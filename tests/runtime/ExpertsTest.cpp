// SPDX-License-Identifier: Apache-2.0
//
// Experts of a session: how often they were chosen, and how much of them stays
// mapped in. The program chooses experts by its tokens and reads their weights.
#include "SessionFixture.h"

#include <cstring>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

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
    // Threads of a real program meet before the next layer.
    for (int32_t expert : thread ? std::vector<int32_t>() : chosen) {
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

  std::vector<uint64_t> uses(const Session &session, int32_t index) {
    lfm_expert_uses found = {};
    EXPECT_EQ(lfm_session_experts(session.get(), index, &found), LFM_OK);
    EXPECT_EQ(found.layer, index + 2);
    EXPECT_EQ(found.per_token, 2);
    return {found.uses, found.uses + found.experts};
  }

  /// KiB of the weights file that are mapped into this process.
  size_t mappedKib() const {
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

  /// KiB of all experts that the system holds in memory.
  size_t residentKib() const {
    const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    const size_t bytes = program.weights_bytes;
    int file = ::open(weights.c_str(), O_RDONLY);
    void *mapped = mmap(nullptr, bytes, PROT_READ, MAP_SHARED, file, 0);
    std::vector<unsigned char> pages((bytes + page - 1) / page);
    EXPECT_EQ(mincore(mapped, bytes, pages.data()), 0);
    munmap(mapped, bytes);
    ::close(file);
    size_t count = 0;
    for (size_t i = LFM_WEIGHTS_DATA / page; i < pages.size(); ++i)
      count += pages[i] & 1;
    return count * page / 1024;
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
  // Experts of 16 MiB, two of each layer a token: all four of a token fit, or
  // those of the last layer.
  for (uint32_t mebibytes : {72u, 40u}) {
    // The system holds all of the file, in the largest pages that it likes.
    Model free = open(program, LFM_MODEL_READ);
    free.reset();
    Model bounded = open(program, LFM_MODEL_PREFETCH, mebibytes);
    // A processor may hold some pages back.
    EXPECT_LE(residentKib(), 1024u) << mebibytes;
    Session session = start(bounded);
    for (int32_t token = 0; token < 12; ++token) {
      ASSERT_EQ(lfm_session_decode(session.get(), 10 + token, nullptr), LFM_OK);
      ASSERT_LE(residentKib(), mebibytes * 1024) << token;
      ASSERT_LE(mappedKib(), mebibytes * 1024 + 4) << token; // the header
    }
    // A layer's chosen experts stay, whatever the bound, and go with the next.
    Ids ids{0, 1, 2, 3, 4, 5, 6, 7};
    ASSERT_EQ(
        lfm_session_prefill(session.get(), ids.data(), ids.size(), nullptr),
        LFM_OK);
    EXPECT_LE(residentKib(), 128 * 1024u);
    ASSERT_EQ(lfm_session_decode(session.get(), 1, nullptr), LFM_OK);
    EXPECT_LE(residentKib(), mebibytes * 1024);
  }

  Model free = open(program);
  Session session = start(free);
  for (int32_t token = 0; token < 40; ++token)
    ASSERT_EQ(lfm_session_decode(session.get(), 10 + token, nullptr), LFM_OK);
  EXPECT_GE(mappedKib(), 240 * 1024u);
}

TEST_F(ExpertsTest, BoundIsForMappedFilesOfModelsWithExperts) {
  open(program, LFM_MODEL_READ, 8, LFM_ERROR_INVALID_ARGUMENT);
  program.expert_layers = 0;
  Model dense = open(program, 0, 8);
  EXPECT_TRUE(dense);
  Session session = start(dense);
  ASSERT_EQ(lfm_session_decode(session.get(), 3, nullptr), LFM_OK);
}

} // namespace

// SPDX-License-Identifier: Apache-2.0
#include "FakeProgram.h"

#include <cstring>
#include <fstream>

namespace fake {

std::vector<int32_t> script;

namespace {

constexpr int32_t kWeights = 1024;
constexpr uint64_t kStateBytes = 64 + kContext * sizeof(uint64_t);

uint64_t mix(uint64_t a, uint64_t b) {
  uint64_t x = (a ^ b) * UINT64_C(0x9e3779b97f4a7c15) + 1;
  return x ^ x >> 29;
}

uint8_t weight(int64_t i) { return static_cast<uint8_t>(mix(7, i % kWeights)); }

uint64_t tokenHash(int32_t token, int64_t pos, uint8_t weight) {
  return mix(mix(static_cast<uint64_t>(token), static_cast<uint64_t>(pos)),
             weight);
}

/// Logits from a hash and a position; both fit a hidden row.
float logit(uint32_t hash, int64_t pos, int32_t v) {
  float base =
      static_cast<float>(mix(hash, static_cast<uint64_t>(v)) >> 40) / 0x1p21f;
  bool wanted = pos < static_cast<int64_t>(script.size()) &&
                script[static_cast<size_t>(pos)] == v;
  return base - 4 + (wanted ? 50 : 0);
}

constexpr uint32_t kHashBits = 0xffffff; // exact in a float

/// Hands out chunks of a phase, then meets the team at the barrier.
template <typename Body>
void phase(lfm_sync *sync, int parity, int64_t chunks, Body body) {
  for (;;) {
    int64_t i =
        __atomic_fetch_add(&sync->tickets[parity][0].next, 1, __ATOMIC_RELAXED);
    if (i >= chunks)
      break;
    body(i);
  }
  sync->barrier(sync, parity);
}

/// The "kv" state, laid out as caches are: two regions (low and high halves of
/// the hashes), positions in granules of four, backwards in each.
struct History {
  uint32_t *low, *high;
  explicit History(uint8_t *state)
      : low(reinterpret_cast<uint32_t *>(state + 64)), high(low + kContext) {}
  uint64_t operator[](int64_t pos) const {
    return low[pos ^ 3] | uint64_t(high[pos ^ 3]) << 32;
  }
  void set(int64_t pos, uint64_t value) {
    low[pos ^ 3] = uint32_t(value);
    high[pos ^ 3] = uint32_t(value >> 32);
  }
};

/// Token hashes in parallel, the recurrence in one chunk, then the rows.
/// arena: uint64_t[2][kPrefill].
void readTokens(const lfm_args *a, lfm_sync *sync, int parity) {
  auto *tokens = static_cast<const int32_t *>(a->input);
  auto *hashes = reinterpret_cast<uint64_t *>(a->arena);
  auto *recurrent = reinterpret_cast<uint64_t *>(a->state);
  History history(a->state);
  const uint8_t *weights = a->weights + LFM_WEIGHTS_DATA;
  phase(sync, parity, a->n, [&](int64_t i) {
    hashes[i] = tokenHash(tokens[i], a->pos + i, weights[tokens[i] % kWeights]);
  });
  phase(sync, parity ^ 1, 1, [&](int64_t) {
    for (int64_t i = 0; i < a->n; ++i) {
      int64_t pos = a->pos + i;
      history.set(pos, hashes[i]);
      *recurrent = mix(mix(*recurrent, hashes[i]), history[pos / 2]);
      hashes[kPrefill + i] = *recurrent;
    }
  });
}

template <int Hidden>
void prefill(const lfm_args *a, lfm_sync *sync, int32_t) {
  readTokens(a, sync, 0);
  auto *hashes = reinterpret_cast<uint64_t *>(a->arena) + kPrefill;
  phase(sync, 0, a->n, [&](int64_t i) {
    float *row = a->output + i * Hidden;
    row[0] = static_cast<float>(hashes[i] & kHashBits);
    row[1] = static_cast<float>(a->pos + i);
  });
}

/// Rows of prompt are prefill's, disguised.
template <int Hidden>
void promptRows(const lfm_args *a, lfm_sync *sync, int32_t thread) {
  prefill<Hidden>(a, sync, thread);
  phase(sync, 1, a->n, [&](int64_t i) { a->output[i * Hidden] += 1; });
}

/// Undoes that if it gets the rows of its positions.
template <int Hidden>
void promptEnd(const lfm_args *a, lfm_sync *sync, int32_t) {
  auto *rows = static_cast<const float *>(a->input);
  phase(sync, 0, a->n, [&](int64_t i) {
    const float *row = rows + i * Hidden;
    bool good = a->n == kPromptRows &&
                row[1] == static_cast<float>(a->pos + i) && rows != a->output;
    a->output[i * Hidden] = good ? row[0] - 1 : 0;
    a->output[i * Hidden + 1] = row[1];
  });
}

template <int Hidden, int Vocab>
void head(const lfm_args *a, lfm_sync *sync, int32_t) {
  auto *rows = static_cast<const float *>(a->input);
  phase(sync, 0, a->n * Vocab / 16, [&](int64_t chunk) {
    for (int64_t i = chunk * 16; i < chunk * 16 + 16; ++i) {
      const float *row = rows + i / Vocab * Hidden;
      a->output[i] =
          logit(static_cast<uint32_t>(row[0]), static_cast<int64_t>(row[1]),
                static_cast<int32_t>(i % Vocab));
    }
  });
}

template <int Vocab>
void decode(const lfm_args *a, lfm_sync *sync, int32_t) {
  readTokens(a, sync, 0);
  auto *hashes = reinterpret_cast<uint64_t *>(a->arena) + kPrefill;
  phase(sync, 0, Vocab / 16, [&](int64_t chunk) {
    for (int64_t v = chunk * 16; v < chunk * 16 + 16; ++v)
      a->output[v] = logit(static_cast<uint32_t>(hashes[0] & kHashBits), a->pos,
                           static_cast<int32_t>(v));
  });
}

const lfm_state_info kStates[] = {
    {"conv", 0, 8, 0, 1, 1},
    {"kv", 64, kContext * sizeof(uint64_t), sizeof(uint64_t), 2, 4}};
const int32_t kEos[] = {7, 9};

} // namespace

lfm_program makeProgram(bool alignedRows, int32_t vocab) {
  lfm_program p = {};
  p.abi = LFM_PROGRAM_ABI;
  p.bytes = sizeof p;
  p.name = "fake";
  p.target = "test";
  p.compiler = "none";
  p.vocab_size = vocab;
  p.hidden_size = alignedRows ? 16 : 5;
  p.max_context = kContext;
  p.max_prefill = kPrefill;
  memcpy(p.weights_id, "0123456789abcdef", 16);
  p.weights_bytes = LFM_WEIGHTS_DATA + kWeights;
  p.state_bytes = kStateBytes;
  p.arena_bytes = 2 * kPrefill * sizeof(uint64_t);
  bool large = vocab == 4112;
  p.decode = large ? decode<4112> : decode<64>;
  p.prefill = alignedRows ? prefill<16> : prefill<5>;
  p.head = large ? head<16, 4112> : alignedRows ? head<16, 64> : head<5, 64>;
  p.states = kStates;
  p.state_count = 2;
  p.bos = 1;
  p.pad = 0;
  p.eos = kEos;
  p.eos_count = 2;
  p.sampling = {-1, -1, -1, -1, -1};
  return p;
}

void cutPrompt(lfm_program &program) {
  bool alignedRows = program.hidden_size == 16;
  program.prompt = alignedRows ? promptRows<16> : promptRows<5>;
  program.prompt_end = alignedRows ? promptEnd<16> : promptEnd<5>;
  program.prompt_rows = kPromptRows;
}

void writeWeights(const std::string &path) {
  lfm_weights_header header = {};
  memcpy(header.magic, LFM_WEIGHTS_MAGIC, 8);
  memcpy(header.id, "0123456789abcdef", 16);
  header.file_bytes = LFM_WEIGHTS_DATA + kWeights;
  std::string bytes(header.file_bytes, '\0');
  memcpy(bytes.data(), &header, sizeof header);
  for (int64_t i = 0; i < kWeights; ++i)
    bytes[static_cast<size_t>(LFM_WEIGHTS_DATA + i)] =
        static_cast<char>(weight(i));
  std::ofstream(path, std::ios::binary) << bytes;
}

std::vector<float> Reference::read(int32_t token) {
  int64_t pos = static_cast<int64_t>(history.size());
  history.push_back(tokenHash(token, pos, weight(token)));
  hash = mix(mix(hash, history.back()), history[static_cast<size_t>(pos / 2)]);
  std::vector<float> logits;
  for (int32_t v = 0; v < vocab; ++v)
    logits.push_back(logit(static_cast<uint32_t>(hash & kHashBits), pos, v));
  return logits;
}

} // namespace fake

// SPDX-License-Identifier: Apache-2.0
#include "Sampler.h"

#include "Model.h"
#include "Support.h"

#include <cmath>
#include <cstring>
#include <new>

using namespace lfm_rt;

static size_t padded(size_t bytes) { return alignUp(bytes, 64); }

size_t lfm_sampler::memoryBytes(int32_t vocab) {
  size_t n = static_cast<size_t>(vocab);
  return padded(n) + padded(n * sizeof(int32_t)) +
         padded(n * sizeof(Candidate)) + padded(n * sizeof(float));
}

void lfm_sampler::open(int32_t size, void *memory) {
  size_t n = static_cast<size_t>(size);
  uint8_t *p = static_cast<uint8_t *>(memory);
  vocab = limit = size;
  acceptedCount = 0;
  seen = p;
  p += padded(n);
  accepted = reinterpret_cast<int32_t *>(p);
  p += padded(n * sizeof(int32_t));
  candidates = reinterpret_cast<Candidate *>(p);
  p += padded(n * sizeof(Candidate));
  heap = reinterpret_cast<float *>(p);
}

lfm_status lfm_sampler::configure(const lfm_sampling &s, int32_t newLimit) {
  bool valid = s.temperature >= 0 && s.temperature <= 1e6f && s.top_k >= 0 &&
               s.top_p >= 0 && s.top_p <= 1 && s.min_p >= 0 && s.min_p <= 1 &&
               s.repetition_penalty >= 0 && s.repetition_penalty <= 1e6f &&
               newLimit > 0 && newLimit <= vocab;
  if (!valid)
    return LFM_ERROR_INVALID_ARGUMENT;
  sampling = s;
  limit = newLimit;
  seed(s.seed);
  return LFM_OK;
}

void lfm_sampler::accept(int32_t token) {
  if (seen[token])
    return;
  seen[token] = 1;
  accepted[acceptedCount++] = token;
}

void lfm_sampler::forget() {
  for (int32_t i = 0; i < acceptedCount; ++i)
    seen[accepted[i]] = 0;
  acceptedCount = 0;
}

//===----------------------------------------------------------------------===//
// Random numbers: splitmix64, one state word, passes BigCrush
//===----------------------------------------------------------------------===//

void lfm_sampler::seed(uint64_t value) { random = value; }

double lfm_sampler::uniform() {
  random += UINT64_C(0x9e3779b97f4a7c15);
  uint64_t x = random;
  x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
  x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
  x ^= x >> 31;
  return static_cast<double>(x >> 11) * 0x1p-53;
}

//===----------------------------------------------------------------------===//
// Filters
//===----------------------------------------------------------------------===//

float lfm_sampler::penalized(const float *logits, int32_t token) const {
  float logit = logits[token];
  if (!(logit == logit))
    return -INFINITY;
  float penalty = sampling.repetition_penalty;
  if (penalty != 0 && penalty != 1 && seen[token])
    return logit < 0 ? logit * penalty : logit / penalty;
  return logit;
}

// The k-th largest logit among the first n candidates: a heap of the k largest
// so far with the smallest on top, so that most candidates cost one comparison.
float lfm_sampler::kthLargest(int32_t n, int32_t k) {
  int32_t size = 0;
  for (int32_t i = 0; i < n; ++i) {
    float value = candidates[i].logit;
    int32_t hole;
    if (size < k) {
      hole = size++;
      for (; hole > 0 && value < heap[(hole - 1) / 2]; hole = (hole - 1) / 2)
        heap[hole] = heap[(hole - 1) / 2];
    } else if (value > heap[0]) {
      hole = 0;
      for (int32_t child = 1; child < size; child = 2 * hole + 1) {
        if (child + 1 < size && heap[child + 1] < heap[child])
          ++child;
        if (!(heap[child] < value))
          break;
        heap[hole] = heap[child];
        hole = child;
      }
    } else {
      continue;
    }
    heap[hole] = value;
  }
  return heap[0];
}

// Sorts candidates, the most likely first: a heap with the least likely on top,
// taken off from the end.
void lfm_sampler::sort(Candidate *base, int32_t n) {
  auto sink = [&](int32_t hole, int32_t size) {
    Candidate value = base[hole];
    for (int32_t child = 2 * hole + 1; child < size; child = 2 * hole + 1) {
      if (child + 1 < size && base[child].before(base[child + 1]))
        ++child;
      if (!value.before(base[child]))
        break;
      base[hole] = base[child];
      hole = child;
    }
    base[hole] = value;
  };
  for (int32_t i = n / 2; i-- > 0;)
    sink(i, n);
  for (int32_t size = n; size > 1; --size) {
    Candidate least = base[0];
    base[0] = base[size - 1];
    base[size - 1] = least;
    sink(0, size - 1);
  }
}

// Keeps the fewest most likely candidates whose probabilities reach top_p. The
// largest logit is 0. The candidates fall into bins by logit; only the bin in
// which the sum reaches top_p has to be sorted.
int32_t lfm_sampler::keepTopP(int32_t n) {
  constexpr int32_t kBins = 1024;
  constexpr float kBinsPerUnit = 64;
  auto binOf = [](float logit) {
    float bin = -logit * kBinsPerUnit;
    return bin < kBins - 1 ? static_cast<int32_t>(bin) : kBins - 1;
  };
  double mass[kBins] = {}, total = 0;
  for (int32_t i = 0; i < n; ++i) {
    double probability = expf(candidates[i].logit);
    mass[binOf(candidates[i].logit)] += probability;
    total += probability;
  }
  double wanted = sampling.top_p * total, sum = 0;
  int32_t last = 0;
  while (last < kBins - 1 && sum + mass[last] < wanted)
    sum += mass[last++];

  auto moveAhead = [&](int32_t from, auto belongs) {
    for (int32_t i = from; i < n; ++i)
      if (belongs(binOf(candidates[i].logit))) {
        Candidate moved = candidates[i];
        candidates[i] = candidates[from];
        candidates[from++] = moved;
      }
    return from;
  };
  int32_t kept = moveAhead(0, [&](int32_t bin) { return bin < last; });
  int32_t end = moveAhead(kept, [&](int32_t bin) { return bin == last; });
  sort(candidates + kept, end - kept);
  while (kept < end && sum < wanted)
    sum += expf(candidates[kept++].logit);
  return kept;
}

lfm_status lfm_sampler::sample(const float *logits, int32_t *token) {
  int32_t best = -1;
  float largest = -INFINITY;
  for (int32_t i = 0; i < limit; ++i) {
    float logit = penalized(logits, i);
    candidates[i] = {logit, i};
    if (logit > largest) {
      largest = logit;
      best = i;
    }
  }
  if (best < 0 || !std::isfinite(largest))
    return LFM_ERROR_NUMERIC;
  *token = best;
  float scale = 1 / sampling.temperature;
  if (!std::isfinite(scale)) // temperature 0, or as good as
    return LFM_OK;

  int32_t n = limit;
  // Everything from here on only compares and subtracts logits: shifting the
  // largest to 0 first keeps small temperatures finite.
  for (int32_t i = 0; i < n; ++i)
    candidates[i].logit = (candidates[i].logit - largest) * scale;
  auto keepFrom = [&](float threshold) {
    int32_t kept = 0;
    for (int32_t i = 0; i < n; ++i)
      if (candidates[i].logit >= threshold)
        candidates[kept++] = candidates[i];
    n = kept;
  };
  // As in the reference, candidates that tie with the k-th stay.
  if (sampling.top_k > 0 && sampling.top_k < n)
    keepFrom(kthLargest(n, sampling.top_k));
  if (sampling.top_p > 0 && sampling.top_p < 1)
    n = keepTopP(n);
  if (sampling.min_p > 0)
    keepFrom(logf(sampling.min_p));

  double total = 0;
  for (int32_t i = 0; i < n; ++i)
    total += heap[i] = expf(candidates[i].logit);
  double left = uniform() * total;
  for (int32_t i = 0; i < n; ++i) {
    left -= heap[i];
    if (left < 0) {
      *token = candidates[i].token;
      return LFM_OK;
    }
  }
  // Rounding ate the last share; `best` always has a positive one.
  return LFM_OK;
}

//===----------------------------------------------------------------------===//
// C interface
//===----------------------------------------------------------------------===//

lfm_sampling lfm_rt::resolveSampling(const lfm_model &model, lfm_sampling s) {
  const lfm_sampling_defaults &given = model.program->sampling;
  bool any = given.temperature >= 0 || given.top_k > 0 ||
             (given.top_p >= 0 && given.top_p < 1) || given.min_p > 0;
  if (s.temperature < 0)
    s.temperature = given.temperature >= 0 ? given.temperature
                    : any                  ? 1.f
                                           : 0.f;
  if (s.top_k < 0)
    s.top_k = given.top_k >= 0 ? given.top_k : 50;
  if (s.top_p < 0)
    s.top_p = given.top_p >= 0 ? given.top_p : 0.f;
  if (s.min_p < 0)
    s.min_p = given.min_p >= 0 ? given.min_p : 0.f;
  if (s.repetition_penalty < 0)
    s.repetition_penalty =
        given.repetition_penalty >= 0 ? given.repetition_penalty : 0.f;
  return s;
}

lfm_status lfm_sampling_default(const lfm_model *model,
                                lfm_sampling *sampling) {
  if (!model || !sampling)
    return LFM_ERROR_INVALID_ARGUMENT;
  *sampling = resolveSampling(*model, {-1, -1, -1, -1, -1, 0});
  return LFM_OK;
}

lfm_status lfm_sampler_create(int32_t vocab, const lfm_sampling *sampling,
                              lfm_sampler **sampler) {
  if (!sampler || !sampling || vocab <= 0)
    return LFM_ERROR_INVALID_ARGUMENT;
  *sampler = nullptr;
  size_t head = padded(sizeof(lfm_sampler));
  size_t bytes = head + lfm_sampler::memoryBytes(vocab);
  void *memory = nullptr;
  if (posix_memalign(&memory, 64, bytes) != 0)
    return LFM_ERROR_OUT_OF_MEMORY;
  std::memset(memory, 0, bytes);
  auto *created = new (memory) lfm_sampler();
  created->open(vocab, static_cast<uint8_t *>(memory) + head);
  if (lfm_status bad = created->configure(*sampling, vocab)) {
    std::free(memory);
    return bad;
  }
  *sampler = created;
  return LFM_OK;
}

void lfm_sampler_destroy(lfm_sampler *sampler) { std::free(sampler); }

lfm_status lfm_sampler_sample(lfm_sampler *sampler, const float *logits,
                              int32_t *token) {
  return sampler && logits && token ? sampler->sample(logits, token)
                                    : LFM_ERROR_INVALID_ARGUMENT;
}

lfm_status lfm_sampler_accept(lfm_sampler *sampler, int32_t token) {
  return sampler ? sampler->acceptChecked(token) : LFM_ERROR_INVALID_ARGUMENT;
}

void lfm_sampler_reset(lfm_sampler *sampler, uint64_t seed) {
  if (!sampler)
    return;
  sampler->forget();
  sampler->seed(seed);
}

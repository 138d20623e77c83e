// SPDX-License-Identifier: Apache-2.0
#include "lfm/lfm.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <random>
#include <vector>

namespace {

struct Deleter {
  void operator()(lfm_sampler *s) const { lfm_sampler_destroy(s); }
};
using Sampler = std::unique_ptr<lfm_sampler, Deleter>;

Sampler make(int32_t vocab, lfm_sampling sampling) {
  lfm_sampler *sampler = nullptr;
  EXPECT_EQ(lfm_sampler_create(vocab, &sampling, &sampler), LFM_OK);
  return Sampler(sampler);
}

int32_t sample(const Sampler &sampler, const std::vector<float> &logits) {
  int32_t token = -1;
  EXPECT_EQ(lfm_sampler_sample(sampler.get(), logits.data(), &token), LFM_OK);
  return token;
}

std::vector<float> randomLogits(size_t n, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, 3);
  std::vector<float> logits(n);
  for (float &logit : logits)
    logit = normal(random);
  return logits;
}

/// The definition, as transformers' processors read: probabilities after
/// penalty, temperature, top_k, top_p, min_p.
std::vector<double> definition(std::vector<float> logits, lfm_sampling s,
                               const std::vector<int32_t> &accepted = {}) {
  size_t n = logits.size();
  if (s.repetition_penalty > 0)
    for (int32_t t : std::vector<int32_t>(accepted))
      logits[t] = logits[t] < 0 ? logits[t] * s.repetition_penalty
                                : logits[t] / s.repetition_penalty;
  std::vector<double> scores(n);
  for (size_t i = 0; i < n; ++i)
    scores[i] = static_cast<double>(logits[i]) / s.temperature;
  auto probabilities = [&] {
    double top = *std::max_element(scores.begin(), scores.end()), sum = 0;
    std::vector<double> p(n);
    for (size_t i = 0; i < n; ++i)
      sum += p[i] = std::exp(scores[i] - top);
    for (double &x : p)
      x /= sum;
    return p;
  };
  if (s.top_k > 0 && static_cast<size_t>(s.top_k) < n) {
    std::vector<double> sorted = scores;
    std::sort(sorted.rbegin(), sorted.rend());
    for (double &x : scores)
      if (x < sorted[static_cast<size_t>(s.top_k) - 1])
        x = -INFINITY;
  }
  if (s.top_p > 0 && s.top_p < 1) {
    std::vector<double> p = probabilities();
    std::vector<size_t> order(n);
    for (size_t i = 0; i < n; ++i)
      order[i] = i;
    std::sort(order.begin(), order.end(),
              [&](size_t a, size_t b) { return p[a] < p[b]; });
    double sum = 0;
    for (size_t i = 0; i + 1 < n; ++i)
      if ((sum += p[order[i]]) <= 1 - static_cast<double>(s.top_p))
        scores[order[i]] = -INFINITY;
  }
  if (s.min_p > 0) {
    std::vector<double> p = probabilities();
    double top = *std::max_element(p.begin(), p.end());
    for (size_t i = 0; i < n; ++i)
      if (p[i] < s.min_p * top)
        scores[i] = -INFINITY;
  }
  return probabilities();
}

/// Draws and compares the frequencies with the definition (chi-square).
void expectDistribution(const std::vector<float> &logits, lfm_sampling s,
                        const std::vector<int32_t> &accepted = {}) {
  std::vector<double> wanted = definition(logits, s, accepted);
  Sampler sampler = make(static_cast<int32_t>(logits.size()), s);
  for (int32_t token : accepted)
    ASSERT_EQ(lfm_sampler_accept(sampler.get(), token), LFM_OK);
  constexpr int kDraws = 20000;
  std::vector<int> counts(logits.size());
  for (int i = 0; i < kDraws; ++i)
    ++counts[sample(sampler, logits)];
  double chi = 0, rest = 0;
  int bins = 0, restCount = 0;
  for (size_t i = 0; i < counts.size(); ++i) {
    double mean = wanted[i] * kDraws;
    if (wanted[i] == 0)
      EXPECT_EQ(counts[i], 0) << "token " << i << " is filtered out";
    if (mean >= 5) {
      chi += (counts[i] - mean) * (counts[i] - mean) / mean;
      ++bins;
    } else {
      rest += mean;
      restCount += counts[i];
    }
  }
  if (rest >= 5) {
    chi += (restCount - rest) * (restCount - rest) / rest;
    ++bins;
  }
  // Mean bins, variance 2 bins: six sigmas, and the seed is fixed.
  EXPECT_LT(chi, bins + 6 * std::sqrt(2.0 * bins) + 6);
}

TEST(Sampler, Greedy) {
  Sampler sampler = make(5, {0, 3, 0.1f, 0.5f, 0, 1});
  EXPECT_EQ(sample(sampler, {1, 5, 2, 5, -1}), 1); // the first of equals
  EXPECT_EQ(sample(sampler, {-3, -2, -9, NAN, -INFINITY}), 1);
  // A temperature so small that its inverse overflows.
  Sampler cold = make(3, {1e-45f, 0, 0, 0, 0, 1});
  EXPECT_EQ(sample(cold, {1, 2, 1.9f}), 1);
  Sampler cool = make(3, {1e-30f, 0, 0.5f, 0.1f, 0, 1});
  EXPECT_EQ(sample(cool, {1, 2, 1.9f}), 1);
}

TEST(Sampler, NoFiniteLogit) {
  Sampler sampler = make(3, {1, 0, 0, 0, 0, 1});
  int32_t token;
  for (auto logits : {std::vector<float>{NAN, NAN, NAN},
                      std::vector<float>{-INFINITY, NAN, -INFINITY},
                      std::vector<float>{1, INFINITY, 2}})
    EXPECT_EQ(lfm_sampler_sample(sampler.get(), logits.data(), &token),
              LFM_ERROR_NUMERIC);
}

TEST(Sampler, Distributions) {
  auto logits = randomLogits(200, 1);
  expectDistribution(logits, {1, 0, 0, 0, 0, 1});
  expectDistribution(logits, {0.3f, 0, 0, 0, 0, 2});
  expectDistribution(logits, {2, 0, 0, 0, 0, 3});
  expectDistribution(logits, {1, 10, 0, 0, 0, 4});
  expectDistribution(logits, {1, 1, 0, 0, 0, 5});
  expectDistribution(logits, {1, 0, 0.7f, 0, 0, 6});
  expectDistribution(logits, {1, 0, 0.01f, 0, 0, 7});
  expectDistribution(logits, {1, 0, 0, 0.1f, 0, 8});
  expectDistribution(logits, {1.5f, 40, 0.8f, 0.05f, 0, 9});
  expectDistribution(logits, {1, 20, 0.9f, 0, 1.3f, 10}, {3, 5, 70, 3});
}

TEST(Sampler, FlatDistributionNeedsTheSlowTopP) {
  std::vector<float> logits(3000, 1);
  for (size_t i = 0; i < logits.size(); ++i)
    logits[i] += 1e-4f * static_cast<float>(i % 100);
  std::vector<double> wanted = definition(logits, {1, 0, 0.95f, 0, 0, 1});
  Sampler sampler = make(3000, {1, 0, 0.95f, 0, 0, 1});
  std::map<int32_t, int> seen;
  for (int i = 0; i < 2000; ++i)
    ++seen[sample(sampler, logits)];
  EXPECT_GT(seen.size(), 1000u);
  size_t outside = 0; // equal logits may be cut anywhere
  for (auto [token, count] : seen)
    outside +=
        logits[static_cast<size_t>(token)] < 1 + 1e-4f * 4; // far below the cut
  EXPECT_EQ(outside, 0u);
}

TEST(Sampler, TiesWithTheLastOfTopKStay) {
  Sampler sampler = make(6, {1, 2, 0, 0, 0, 1});
  std::vector<int> counts(6);
  for (int i = 0; i < 3000; ++i)
    ++counts[sample(sampler, {3, 2, 2, 2, 1, 0})];
  EXPECT_GT(counts[1], 200);
  EXPECT_GT(counts[2], 200);
  EXPECT_GT(counts[3], 200);
  EXPECT_EQ(counts[4] + counts[5], 0);
}

TEST(Sampler, SeedsRepeat) {
  auto logits = randomLogits(1000, 2);
  lfm_sampling s = {1, 50, 0.95f, 0, 1.1f, 77};
  auto draw = [&](const Sampler &sampler) {
    std::vector<int32_t> tokens;
    for (int i = 0; i < 50; ++i) {
      tokens.push_back(sample(sampler, logits));
      lfm_sampler_accept(sampler.get(), tokens.back());
    }
    return tokens;
  };
  Sampler a = make(1000, s), b = make(1000, s);
  std::vector<int32_t> first = draw(a);
  EXPECT_EQ(draw(b), first);
  lfm_sampler_reset(a.get(), 77);
  EXPECT_EQ(draw(a), first);
  lfm_sampler_reset(a.get(), 78);
  EXPECT_NE(draw(a), first);
}

TEST(Sampler, WrongArguments) {
  lfm_sampler *sampler = nullptr;
  const lfm_sampling wrong[] = {
      {-1, 0, 0, 0, 0, 0},   {NAN, 0, 0, 0, 0, 0}, {1, -1, 0, 0, 0, 0},
      {1, 0, 1.1f, 0, 0, 0}, {1, 0, NAN, 0, 0, 0}, {1, 0, 0, -0.1f, 0, 0},
      {1, 0, 0, 2, 0, 0},    {1, 0, 0, 0, -1, 0},  {1, 0, 0, 0, INFINITY, 0}};
  for (const lfm_sampling &s : wrong)
    EXPECT_EQ(lfm_sampler_create(10, &s, &sampler), LFM_ERROR_INVALID_ARGUMENT);
  lfm_sampling good = {};
  EXPECT_EQ(lfm_sampler_create(0, &good, &sampler), LFM_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(lfm_sampler_create(1, nullptr, &sampler),
            LFM_ERROR_INVALID_ARGUMENT);
  Sampler made = make(10, good);
  EXPECT_EQ(lfm_sampler_accept(made.get(), 10), LFM_ERROR_TOKEN_RANGE);
  EXPECT_EQ(lfm_sampler_accept(made.get(), -1), LFM_ERROR_TOKEN_RANGE);
  EXPECT_EQ(lfm_sampler_sample(made.get(), nullptr, nullptr),
            LFM_ERROR_INVALID_ARGUMENT);
}

} // namespace

// SPDX-License-Identifier: Apache-2.0
//
// Against values that Inputs/make_divergence.py worked out with numpy.
#include "tools/lfmc/Divergence.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cmath>
#include <fstream>
#include <limits>

using nlohmann::json;
using namespace lfmc;

namespace {

json goldens() {
  std::ifstream in(LFMC_INPUTS "/divergence.json");
  return json::parse(in);
}

// Near `wanted` by digits, not by distance: a divergence may be tiny.
void expectClose(double found, double wanted, const char *what) {
  EXPECT_NEAR(found, wanted, 1e-11 * std::abs(wanted) + 1e-14) << what;
}

TEST(Divergence, EqualsNumpy) {
  json all = goldens();
  ASSERT_GE(all["rows"].size(), 9u);
  DivergenceStatistics statistics;
  for (const json &row : all["rows"]) {
    auto reference = row["reference"].get<std::vector<float>>();
    auto logits = row["logits"].get<std::vector<float>>();
    TopK parameters = {row["k"], row["temperature"]};
    Divergence found = divergence(reference, logits, parameters);
    expectClose(found.kld, row["kld"], "kld");
    expectClose(found.topK, row["topk"], "topk");
    EXPECT_EQ(found.sameTop, row["same"]);
    expectClose(negativeLogLikelihood(logits, row["token"]), row["nll"], "nll");
    statistics.add(reference, logits, parameters);
  }
  const json &wanted = all["statistics"];
  EXPECT_EQ(statistics.positions(), all["rows"].size());
  expectClose(statistics.kldMean(), wanted["kld_mean"], "mean");
  expectClose(statistics.kldStandardError(), wanted["kld_se"], "se");
  expectClose(statistics.topKMean(), wanted["topk_mean"], "topk mean");
  EXPECT_DOUBLE_EQ(statistics.sameTopShare(), wanted["same"]);
  for (const auto &[percent, value] : wanted["percentiles"].items())
    expectClose(statistics.kldPercentile(std::stod(percent)), value,
                percent.c_str());
}

// At temperature 1 the Top-K divergence is the KLD without the tail's own part:
// never more, and all of it if the top is the whole vocabulary.
TEST(Divergence, TopKIsAPartOfTheKld) {
  const json all = goldens(); // outlives the loop over its part
  for (const json &row : all["rows"]) {
    auto reference = row["reference"].get<std::vector<float>>();
    auto logits = row["logits"].get<std::vector<float>>();
    double kld = divergence(reference, logits).kld, last = 0;
    for (int k = 1; k <= int(reference.size()); ++k) {
      double part = divergence(reference, logits, {k, 1}).topK;
      EXPECT_GE(part, last - 1e-12) << "k = " << k;
      EXPECT_LE(part, kld + 1e-12) << "k = " << k;
      last = part;
    }
    expectClose(last, kld, "the whole vocabulary");
  }
}

TEST(Divergence, IsNothingBetweenEqualDistributions) {
  std::vector<float> logits = {3, -1, 2.5f, 0}, shifted = logits;
  for (float &value : shifted)
    value += 64;
  for (const auto &other : {logits, shifted}) {
    Divergence found = divergence(logits, other);
    EXPECT_NEAR(found.kld, 0, 1e-13);
    EXPECT_NEAR(found.topK, 0, 1e-13);
    EXPECT_TRUE(found.sameTop);
  }
}

TEST(Divergence, ShowsWhatIsNotFinite) {
  std::vector<float> logits = {3, -1, 2.5f};
  for (float bad : {std::numeric_limits<float>::infinity(),
                    -std::numeric_limits<float>::infinity(),
                    std::numeric_limits<float>::quiet_NaN()}) {
    std::vector<float> broken = {3, bad, 2.5f};
    EXPECT_TRUE(std::isnan(divergence(logits, broken).kld));
    EXPECT_TRUE(std::isnan(divergence(broken, logits).topK));
  }
}

TEST(DivergenceStatistics, OfNothingAndOfOne) {
  DivergenceStatistics statistics;
  EXPECT_EQ(statistics.kldMean(), 0);
  EXPECT_EQ(statistics.kldPercentile(50), 0);
  EXPECT_EQ(statistics.sameTopShare(), 0);
  statistics.add({0.5, 0.25, false});
  EXPECT_EQ(statistics.kldStandardError(), 0);
  EXPECT_EQ(statistics.kldPercentile(99), 0.5);
  EXPECT_EQ(statistics.topKMean(), 0.25);
}

} // namespace

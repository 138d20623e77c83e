// SPDX-License-Identifier: Apache-2.0
//
// The chooser against all mixes that there are.
#include "tools/lfmc/Mix.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <random>

using namespace lfmc;

namespace {

std::vector<MixGroup> randomGroups(unsigned seed, size_t count, size_t forms) {
  std::mt19937 random(seed);
  std::uniform_int_distribution<uint64_t> bytes(0, 40);
  std::uniform_real_distribution<double> cost(0, 1);
  std::vector<MixGroup> groups(count);
  for (MixGroup &group : groups)
    for (size_t i = 0; i < forms; ++i)
      group.push_back({bytes(random), cost(random)});
  return groups;
}

MixChoice total(const std::vector<MixGroup> &groups,
                const std::vector<size_t> &choices) {
  MixChoice sum;
  for (size_t g = 0; g < groups.size(); ++g) {
    sum.bytes += groups[g][choices[g]].bytes;
    sum.cost += groups[g][choices[g]].cost;
  }
  return sum;
}

void forEachMix(const std::vector<MixGroup> &groups,
                const std::function<void(MixChoice)> &visit) {
  std::vector<size_t> choices(groups.size());
  for (;;) {
    visit(total(groups, choices));
    size_t g = 0;
    while (g < groups.size() && ++choices[g] == groups[g].size())
      choices[g++] = 0;
    if (g == groups.size())
      return;
  }
}

TEST(Mix, IsTheBestOfAll) {
  for (unsigned seed = 0; seed < 20; ++seed) {
    std::vector<MixGroup> groups = randomGroups(seed, 5, 4);
    MixFrontier frontier(groups);
    for (uint64_t bytes = 0; bytes <= 210; bytes += 7) {
      double best = std::numeric_limits<double>::infinity();
      forEachMix(groups, [&](MixChoice mix) {
        if (mix.bytes <= bytes)
          best = std::min(best, mix.cost);
      });
      auto point = frontier.within(bytes);
      ASSERT_EQ(point.has_value(), std::isfinite(best)) << bytes;
      if (!point)
        continue;
      MixChoice found = total(groups, frontier.choices(*point));
      EXPECT_LE(found.bytes, bytes);
      EXPECT_NEAR(found.cost, best, 1e-12);
      EXPECT_EQ(found.bytes, frontier.points()[*point].bytes);
      EXPECT_NEAR(found.cost, frontier.points()[*point].cost, 1e-12);
    }
    for (double cost = 0; cost < 3; cost += 0.1) {
      uint64_t fewest = UINT64_MAX;
      forEachMix(groups, [&](MixChoice mix) {
        if (mix.cost <= cost)
          fewest = std::min(fewest, mix.bytes);
      });
      auto point = frontier.below(cost);
      ASSERT_EQ(point.has_value(), fewest != UINT64_MAX) << cost;
      if (point)
        EXPECT_EQ(frontier.points()[*point].bytes, fewest);
    }
  }
}

TEST(Mix, BudgetsThatCannotBeMet) {
  MixFrontier frontier(
      std::vector<MixGroup>{{{10, 1}, {20, 0.5}}, {{5, 2}, {50, 1}}});
  EXPECT_FALSE(frontier.within(14));
  ASSERT_TRUE(frontier.within(15));
  EXPECT_EQ(frontier.choices(*frontier.within(15)),
            (std::vector<size_t>{0, 0}));
  EXPECT_EQ(frontier.points().front().bytes, 15u);
  EXPECT_FALSE(frontier.below(1.49));
  ASSERT_TRUE(frontier.below(1.5));
  EXPECT_EQ(frontier.points().back().cost, 1.5);
  EXPECT_EQ(frontier.choices(*frontier.within(UINT64_MAX)),
            (std::vector<size_t>{1, 1}));
}

// A form that costs more at more bytes, as larger blocks may by chance.
TEST(Mix, LeavesOutFormsThatAreWorse) {
  MixFrontier frontier(std::vector<MixGroup>{{{30, 2}, {20, 1}, {20, 3}}});
  ASSERT_EQ(frontier.points().size(), 1u);
  EXPECT_EQ(frontier.choices(0), std::vector<size_t>{1});
}

TEST(Mix, NoGroupsCostNothing) {
  MixFrontier frontier({});
  ASSERT_EQ(frontier.points().size(), 1u);
  EXPECT_EQ(frontier.points()[0].bytes, 0u);
  EXPECT_TRUE(frontier.choices(0).empty());
}

// Thinned, the frontier keeps what can be met at all, every mix is what it says
// it is, and the cost is close to the best.
TEST(Mix, ThinnedIsCloseToExact) {
  std::mt19937 random(7);
  std::uniform_int_distribution<uint64_t> size(1000, 100000);
  std::uniform_real_distribution<double> cost(0.5, 1);
  std::vector<MixGroup> groups(10);
  for (MixGroup &group : groups) {
    uint64_t elements = size(random);
    for (int eighths : {34, 36, 40, 52, 68}) // of a bit, as it is with weights
      group.push_back(
          {elements * eighths, cost(random) * std::exp2(-eighths / 4.0)});
  }
  MixFrontier exact(groups, SIZE_MAX), thin(groups, 100);
  ASSERT_GT(exact.points().size(), 101u);
  EXPECT_LE(thin.points().size(), 101u);
  EXPECT_EQ(thin.points().front().bytes, exact.points().front().bytes);
  for (size_t i = 0; i < thin.points().size(); ++i) {
    MixChoice point = thin.points()[i], found = total(groups, thin.choices(i)),
              best = exact.points()[*exact.within(point.bytes)];
    EXPECT_EQ(found.bytes, point.bytes);
    EXPECT_NEAR(found.cost, point.cost, 1e-12);
    EXPECT_LE(point.cost, best.cost * 1.1);
  }
}

} // namespace

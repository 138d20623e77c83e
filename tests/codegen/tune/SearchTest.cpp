// SPDX-License-Identifier: Apache-2.0
//
// The search on recorded measurements of exhausted spaces
// (tests/data/tuning/*.jsonl, lfmc tune --export-measurements; Zen 5, of n3072
// the median of three measurements of each point).
#include "codegen/tune/Search.h"
#include "codegen/tune/CostModel.h"
#include "codegen/tune/Measurement.h"
#include "codegen/tune/Problem.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <set>

namespace lfmc::tune {
namespace {

/// One exhausted space.
struct Recorded {
  std::string name;
  std::vector<Point> points;
  std::vector<double> scores;
  double best = 0;
};

std::vector<Recorded> recorded() {
  std::vector<Recorded> all;
  std::vector<std::filesystem::path> paths;
  for (auto &entry : std::filesystem::directory_iterator(LFMC_RECORDED))
    if (entry.path().extension() == ".jsonl")
      paths.push_back(entry.path());
  std::sort(paths.begin(), paths.end());
  for (const auto &path : paths) {
    std::ifstream in(path);
    std::string text(std::istreambuf_iterator<char>(in), {});
    TuningLines lines =
        llvm::cantFail(parseLines(text, path.filename().string()));
    const Measurement &first = lines.measurements.at(0);
    Recorded table;
    table.name = path.stem();
    // Coordinates of what was measured: spaces may change later.
    Space space;
    std::map<std::string, std::set<int64_t>> values;
    for (const Measurement &m : lines.measurements)
      for (auto &[name, value] : m.choice)
        values[name].insert(value);
    for (auto &[name, set] : values)
      if (set.size() > 1)
        space.add(name, {set.begin(), set.end()}, *set.begin(),
                  uint8_t(first.phase));
    for (const Measurement &m : lines.measurements) {
      table.points.push_back(pointOf(space, first.phase, m.choice));
      table.scores.push_back(m.outcome.status == Status::Measured
                                 ? std::log(m.outcome.ratio)
                                 : std::nan(""));
      if (m.outcome.status == Status::Measured)
        table.best = std::min(table.best, table.scores.back());
    }
    all.push_back(std::move(table));
  }
  return all;
}

/// Measurements until 95 % of the best speed is reached.
size_t needed(const Recorded &table, StrategyKind kind, uint64_t seed) {
  auto strategy = makeStrategy(kind, table.points, seed);
  size_t count = 0;
  while (auto next = strategy->next()) {
    ++count;
    const double score = table.scores[*next];
    if (score <= table.best - std::log(0.95))
      return count;
    strategy->tell(*next, score);
  }
  return SIZE_MAX;
}

TEST(Search, ReachesTheBestInAFifthOfTheSpace) {
  std::vector<Recorded> tables = recorded();
  ASSERT_GE(tables.size(), 3u);
  for (const Recorded &table : tables) {
    std::vector<size_t> counts, random;
    for (uint64_t seed = 1; seed <= 11; ++seed) {
      counts.push_back(needed(table, StrategyKind::Guided, seed));
      random.push_back(needed(table, StrategyKind::Random, seed));
    }
    std::sort(counts.begin(), counts.end());
    std::sort(random.begin(), random.end());
    std::printf(
        "%s: %zu points; guided median %zu, most %zu; random %zu, %zu\n",
        table.name.c_str(), table.points.size(), counts[5], counts[10],
        random[5], random[10]);
    EXPECT_LE(counts[10] * 5, table.points.size()) << table.name;
  }
}

/// A smooth valley in three coordinates.
std::vector<Point> grid(std::vector<double> &scores) {
  std::vector<Point> points;
  for (int a = 0; a < 6; ++a)
    for (int b = 0; b < 6; ++b)
      for (int c = 0; c < 6; ++c) {
        points.push_back({a / 4.0, b / 4.0, c / 4.0});
        scores.push_back(0.1 * (a - 4) * (a - 4) + 0.05 * (b - 1) * (b - 1) +
                         0.02 * (c - 3) * (c - 3) + 0.01 * a * b);
      }
  return points;
}

TEST(Search, BeatsRandomInAValley) {
  std::vector<double> scores;
  Recorded table{"valley", grid(scores), {}, 0};
  table.scores = scores;
  table.best = *std::min_element(scores.begin(), scores.end());
  size_t guided = 0, climb = 0, random = 0;
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    guided += needed(table, StrategyKind::Guided, seed);
    climb += needed(table, StrategyKind::Climb, seed);
    random += needed(table, StrategyKind::Random, seed);
  }
  EXPECT_LT(guided, 5 * 25u);
  EXPECT_LT(climb, random);
  EXPECT_LT(guided, random);
}

TEST(Search, UsesWhatIsKnownOfOtherKernels) {
  std::vector<double> scores;
  std::vector<Point> points = grid(scores);
  std::vector<Observation> related;
  for (size_t i = 0; i < points.size(); i += 5)
    related.push_back({points[i], scores[i]});
  auto strategy = makeStrategy(StrategyKind::Guided, points, 1, related);
  strategy->tell(0, scores[0]);
  double best = 9;
  for (int i = 0; i < 4; ++i) {
    size_t next = *strategy->next();
    best = std::min(best, scores[next]);
    strategy->tell(next, scores[next]);
  }
  EXPECT_LT(best, *std::min_element(scores.begin(), scores.end()) + 0.05);
}

TEST(Search, ProposesEachPointOnceAndTakesFailures) {
  for (auto kind :
       {StrategyKind::Guided, StrategyKind::Climb, StrategyKind::Random}) {
    std::vector<double> scores;
    std::vector<Point> points = grid(scores);
    points.resize(40);
    auto strategy = makeStrategy(kind, points, 3);
    std::set<size_t> seen;
    EXPECT_EQ(strategy->next(), 0u);
    seen.insert(0);
    // Two at a time; every third fails.
    while (auto a = strategy->next()) {
      auto b = strategy->next();
      EXPECT_TRUE(seen.insert(*a).second);
      if (b) {
        EXPECT_TRUE(seen.insert(*b).second);
        strategy->tell(*b, scores[*b]);
      }
      strategy->tell(*a, *a % 3 ? scores[*a] : std::nan(""));
    }
    EXPECT_EQ(seen.size(), points.size());
  }
}

TEST(CostModel, IsSureWhereItHasSeen) {
  std::vector<CostModel::Sample> samples;
  for (double x : {0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5})
    samples.push_back({{x}, std::sin(2 * x), false});
  CostModel model(samples);
  EXPECT_NEAR(model.predict({1.25}).mean, std::sin(2.5), 0.1);
  EXPECT_LT(model.predict({1.0}).deviation, model.predict({6.0}).deviation / 2);
}

TEST(AttentionShape, ReadsNames) {
  auto shape = AttentionShape::parse("attention heads=32 kv=8 dim=64 q8");
  ASSERT_TRUE(bool(shape)) << llvm::toString(shape.takeError());
  EXPECT_EQ(shape->group(), 4);
  EXPECT_EQ(shape->rowBytes(), 68);
  EXPECT_EQ(shape->window, 0);
  for (const char *name :
       {"attention heads=32 kv=8 dim=64", "attention heads=30 kv=8 dim=64 f16",
        "attention heads=32 kv=8 dim=64 q4",
        "attention heads=32 kv=8 dim=0 f16",
        "attention heads=32 kv=8 dim=64 f16 window=x",
        "linear heads=32 kv=8 dim=64 f16"}) {
    auto wrong = AttentionShape::parse(name);
    ASSERT_FALSE(bool(wrong)) << name;
    EXPECT_NE(llvm::toString(wrong.takeError()).find(name), std::string::npos);
  }
}

TEST(Cost, IsWhatACallHasToDo) {
  auto cost = [](const char *kernel, int64_t tokens) {
    return costOf(kernel, tokens).value_or(Cost{-1, -1, false});
  };
  EXPECT_EQ(cost("linear n=64 k=32 f32", 3).bytes, 64 * 32 * 4);
  EXPECT_EQ(cost("linear n=64 k=32 bf16", 3).operations, 2 * 64 * 32 * 3);
  EXPECT_FALSE(cost("linear n=64 k=32 bf16", 3).integers);
  EXPECT_TRUE(cost("linear n=64 k=32 q4/32", 1).integers);
  // Keys and values of 2 cache heads; 4 query heads against 1, 2 and 3
  // positions, keys and values, a multiply-add each.
  const char *attention = "attention heads=4 kv=2 dim=32 f16";
  EXPECT_EQ(cost(attention, 1).bytes, 2.0 * tunedPositions * 2 * 32 * 2);
  EXPECT_EQ(cost(attention, 3).operations, (1 + 2 + 3) * 4 * 32 * 2 * 2);
  EXPECT_EQ(cost("attention heads=4 kv=2 dim=32 f16 window=2", 3).operations,
            (1 + 2 + 2) * 4 * 32 * 2 * 2);
  EXPECT_FALSE(costOf("sort n=3", 1));
}

TEST(LinearShape, ReadsNames) {
  auto shape = LinearShape::parse("linear n=9216 k=1024 q4/32 swiglu");
  ASSERT_TRUE(bool(shape));
  EXPECT_EQ(shape->n, 9216);
  EXPECT_EQ(shape->block, 32);
  EXPECT_TRUE(shape->swiglu);
  EXPECT_EQ(shape->weightBytes(), 9216 * 1024 / 2 + 9216 * 1024 / 32 * 2);
  for (const char *name :
       {"", "linear", "linear n=0 k=4 f32", "linear n=4 k=x f32",
        "linear n=4 k=4 q5", "linear n=4 k=4 f32 fast", "add n=4 k=4 f32"}) {
    auto wrong = LinearShape::parse(name);
    EXPECT_FALSE(bool(wrong)) << name;
    llvm::consumeError(wrong.takeError());
  }
}

/// Every choice of a space is a kernel that can be declared.
TEST(Problem, DeclaresEveryChoice) {
  for (const char *target :
       {"x86-64-v2", "x86-64-v3", "x86-64-v4-vnni", "x86-64-amx"})
    for (const char *name :
         {"linear n=3072 k=1024 q4/32", "linear n=9216 k=1024 q4m/64 swiglu",
          "linear n=96 k=64 f32", "linear n=256 k=64 bf16 swiglu",
          "experts of=32 top=4 n=3584 k=2048 q4/32 swiglu",
          "experts of=8 top=2 n=256 k=64 f32"}) {
      auto problem =
          llvm::cantFail(Problem::create(name, **findTarget(target)));
      for (Phase phase : phases) {
        std::set<std::string> kernels;
        for (const Choice &choice : problem->space().choices(phase))
          kernels.insert(problem->declaration(phase, choice));
        EXPECT_GT(kernels.size(), 5u) << target << " " << name;
      }
    }
}

/// VNNI of half vectors, where whole ones are there.
TEST(Problem, HasBothWidthsOfVnni) {
  auto kernels = [](const char *name, const char *target, Phase phase,
                    const char *word) {
    auto problem = llvm::cantFail(Problem::create(name, **findTarget(target)));
    std::set<std::string> found;
    for (const Choice &choice : problem->space().choices(phase)) {
      const std::string text = problem->declaration(phase, choice);
      const size_t at = text.find(word);
      found.insert(at == std::string::npos ? "" : text.substr(at, 16));
    }
    return found;
  };
  const char *q4 = "linear n=3072 k=1024 q4/32", *q8 = "linear n=64 k=64 q8/32";
  using Set = std::set<std::string>;
  const Set widths{"", " lanes = 16 : i6", " lanes = 8 : i64"};
  EXPECT_EQ(kernels(q4, "x86-64-v4-vnni", Phase::One, " lanes = "), widths);
  EXPECT_EQ(kernels(q8, "x86-64-v4-vnni", Phase::Many, " lanes = "), widths);
  EXPECT_EQ(kernels("experts of=8 top=2 n=256 k=64 q4/32", "x86-64-v4-bf16",
                    Phase::Many, " lanes = "),
            widths);
  EXPECT_EQ(kernels(q4, "x86-64-v4-vnni", Phase::Many, "wide_lanes = ").size(),
            2u);
  // Nowhere else.
  for (const char *target : {"x86-64-v3-vnni", "x86-64-v4", "x86-64-amx"})
    for (Phase phase : phases)
      EXPECT_EQ(kernels(q8, target, phase, "lanes = "), Set{""}) << target;
}

} // namespace
} // namespace lfmc::tune

// SPDX-License-Identifier: Apache-2.0
#include "codegen/tune/Search.h"

#include "codegen/tune/CostModel.h"
#include "frontend/Random.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringSwitch.h"

#include <cmath>
#include <limits>
#include <numbers>

namespace lfmc::tune {

Strategy::~Strategy() = default;

Point pointOf(const Space &space, Phase phase, const Choice &choice) {
  Point point;
  for (const Parameter &parameter : space.parameters) {
    if (!parameter.changes(phase))
      continue;
    const double value = double(choice.at(parameter.name));
    // 0 switches something off: one step below the least.
    double least = 0;
    for (int64_t other : llvm::reverse(parameter.values))
      if (other > 0)
        least = double(other);
    point.push_back(std::log2(value > 0 ? value : least / 2) / 4);
  }
  return point;
}

std::optional<StrategyKind> strategyKind(llvm::StringRef name) {
  return llvm::StringSwitch<std::optional<StrategyKind>>(name)
      .Case("guided", StrategyKind::Guided)
      .Case("climb", StrategyKind::Climb)
      .Case("random", StrategyKind::Random)
      .Default(std::nullopt);
}

namespace {

constexpr double unknown = std::numeric_limits<double>::infinity();

double distance(const Point &a, const Point &b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i)
    sum += (a[i] - b[i]) * (a[i] - b[i]);
  return sum;
}

/// Bookkeeping that all share.
class Base : public Strategy {
public:
  Base(std::vector<Point> points, uint64_t seed)
      : points(std::move(points)), scores(this->points.size(), unknown),
        taken(this->points.size()), random(seed) {}

  std::optional<size_t> next() final {
    std::vector<size_t> open;
    for (size_t i = 0; i < points.size(); ++i)
      if (!taken[i])
        open.push_back(i);
    if (open.empty())
      return std::nullopt;
    const size_t index = open[0] == 0 ? 0 : choose(open);
    taken[index] = true;
    return index;
  }

  void tell(size_t index, double score) final {
    taken[index] = true;
    scores[index] = score;
  }

protected:
  virtual size_t choose(const std::vector<size_t> &open) = 0;

  bool isKnown(size_t i) const {
    return scores[i] != unknown && !std::isnan(scores[i]);
  }
  size_t anyOf(const std::vector<size_t> &open) {
    return open[random.below(open.size())];
  }

  std::vector<Point> points;
  std::vector<double> scores; ///< unknown: not told; NaN: failed
  std::vector<bool> taken;
  SplitMix64 random;
};

class RandomSearch : public Base {
  using Base::Base;
  size_t choose(const std::vector<size_t> &open) override {
    return anyOf(open);
  }
};

/// Goes to a neighbour of the best: one that differs in one coordinate, and
/// there by the next value.
class Climb : public Base {
public:
  using Base::Base;

private:
  size_t choose(const std::vector<size_t> &open) override {
    std::vector<size_t> order;
    for (size_t i = 0; i < points.size(); ++i)
      if (isKnown(i))
        order.push_back(i);
    llvm::sort(order,
               [&](size_t a, size_t b) { return scores[a] < scores[b]; });
    // Of the best; when all its neighbours are known, of the next.
    for (size_t center : order) {
      std::vector<size_t> near;
      for (size_t i : open)
        if (adjacent(points[i], points[center]))
          near.push_back(i);
      if (!near.empty())
        return anyOf(near);
    }
    return anyOf(open);
  }

  bool adjacent(const Point &a, const Point &b) const {
    size_t axis = a.size();
    for (size_t i = 0; i < a.size(); ++i)
      if (a[i] != b[i]) {
        if (axis != a.size())
          return false;
        axis = i;
      }
    if (axis == a.size())
      return false;
    for (const Point &other : points) // none between
      if (std::min(a[axis], b[axis]) < other[axis] &&
          other[axis] < std::max(a[axis], b[axis]))
        return false;
    return true;
  }
};

class Guided : public Base {
public:
  Guided(std::vector<Point> points, uint64_t seed,
         std::vector<Observation> related)
      : Base(std::move(points), seed), related(std::move(related)) {}

private:
  size_t choose(const std::vector<size_t> &open) override {
    std::vector<CostModel::Sample> samples;
    double best = unknown, worst = -unknown;
    for (size_t i = 0; i < points.size(); ++i)
      if (isKnown(i)) {
        best = std::min(best, scores[i]);
        worst = std::max(worst, scores[i]);
        // What is far from the best need not be known well.
        samples.push_back({points[i], scores[i], false});
      }
    const size_t own = samples.size();
    if (own < 3 && related.empty())
      return farthest(open);
    for (CostModel::Sample &sample : samples)
      sample.value = std::min(sample.value, best + 1);
    for (const Observation &other : related)
      samples.push_back({other.point, std::min(other.score, 1.0), true});
    if (samples.empty())
      return anyOf(open);
    CostModel model(samples);
    // Proposed, not yet told: believed to be as predicted. Failed: as bad as
    // the worst, so that their neighbours are avoided.
    bool more = false;
    for (size_t i = 0; i < points.size(); ++i)
      if (taken[i] && !isKnown(i)) {
        const bool failed = std::isnan(scores[i]);
        samples.push_back({points[i],
                           failed ? std::max(worst, best + 0.5)
                                  : model.predict(points[i]).mean,
                           false});
        more = true;
      }
    if (more)
      model = CostModel(samples);
    if (best == unknown)
      best = 0;
    size_t chosen = open[0];
    double most = -1;
    for (size_t i : open) {
      const auto [mean, deviation] = model.predict(points[i]);
      const double gap = best - mean, z = gap / deviation;
      const double density =
          std::exp(-z * z / 2) / std::sqrt(2 * std::numbers::pi);
      const double improvement =
          gap * std::erfc(-z / std::numbers::sqrt2) / 2 + deviation * density;
      if (improvement > most) {
        most = improvement;
        chosen = i;
      }
    }
    return chosen;
  }

  /// Of a few, the one farthest from all that were taken.
  size_t farthest(const std::vector<size_t> &open) {
    size_t chosen = anyOf(open);
    double most = -1;
    for (int attempt = 0; attempt < 16; ++attempt) {
      const size_t i = anyOf(open);
      double least = unknown;
      for (size_t j = 0; j < points.size(); ++j)
        if (taken[j])
          least = std::min(least, distance(points[i], points[j]));
      if (least > most) {
        most = least;
        chosen = i;
      }
    }
    return chosen;
  }

  std::vector<Observation> related;
};

} // namespace

std::unique_ptr<Strategy> makeStrategy(StrategyKind kind,
                                       std::vector<Point> points, uint64_t seed,
                                       std::vector<Observation> related) {
  switch (kind) {
  case StrategyKind::Guided:
    return std::make_unique<Guided>(std::move(points), seed,
                                    std::move(related));
  case StrategyKind::Climb:
    return std::make_unique<Climb>(std::move(points), seed);
  case StrategyKind::Random:
    return std::make_unique<RandomSearch>(std::move(points), seed);
  }
  return nullptr;
}

} // namespace lfmc::tune

// SPDX-License-Identifier: Apache-2.0
#include "tools/lfmc/Divergence.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/SmallVector.h"

#include <algorithm>
#include <cmath>
#include <limits>

using namespace llvm;

namespace lfmc {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

// The log of a sum of exponentials, term by term, without overflow.
class LogSumExp {
public:
  explicit LogSumExp(double largest) : largest(largest) {}
  void add(double value) { sum += std::exp(value - largest); }
  double get() const { return sum > 0 ? largest + std::log(sum) : -infinity; }

private:
  double largest, sum = 0;
};

double logAdd(double a, double b) {
  double high = std::max(a, b);
  return high + std::log1p(std::exp(std::min(a, b) - high));
}

// p (log p - log q), 0 for p = 0.
double term(double logP, double logQ) {
  return logP == -infinity ? 0 : std::exp(logP) * (logP - logQ);
}

// The tokens of the `count` largest logits.
SmallVector<int32_t> largest(ArrayRef<float> logits, size_t count) {
  // A heap whose front is the worst that is kept.
  auto better = [&](int32_t a, int32_t b) {
    return logits[a] > logits[b] || (logits[a] == logits[b] && a < b);
  };
  SmallVector<int32_t> kept;
  for (int32_t token = 0; token < int32_t(logits.size()); ++token) {
    if (kept.size() == count) {
      if (logits[token] <= logits[kept.front()])
        continue;
      std::pop_heap(kept.begin(), kept.end(), better);
      kept.pop_back();
    }
    kept.push_back(token);
    std::push_heap(kept.begin(), kept.end(), better);
  }
  llvm::sort(kept);
  return kept;
}

// One distribution, split in the tokens T and the rest. Either part has its own
// largest logit, so that a tail of any size keeps its digits.
struct Split {
  double all, inside, rest; // logs of sums of exponentials
};

Split split(ArrayRef<float> logits, ArrayRef<int32_t> chosen) {
  double high = -infinity, highRest = -infinity;
  auto walk = [&](auto inside, auto outside) {
    size_t next = 0;
    for (size_t token = 0; token < logits.size(); ++token)
      if (next < chosen.size() && size_t(chosen[next]) == token) {
        inside(logits[token]);
        ++next;
      } else {
        outside(logits[token]);
      }
  };
  walk([&](float x) { high = std::max(high, double(x)); },
       [&](float x) { highRest = std::max(highRest, double(x)); });
  LogSumExp inside(high), rest(highRest);
  walk([&](float x) { inside.add(x); }, [&](float x) { rest.add(x); });
  return {logAdd(inside.get(), rest.get()), inside.get(), rest.get()};
}

// KL of the softmax over `tokens` alone of tempered logits.
double temperedDivergence(ArrayRef<float> reference, ArrayRef<float> logits,
                          ArrayRef<int32_t> tokens, double temperature) {
  auto normaliser = [&](ArrayRef<float> values) {
    double high = -infinity;
    for (int32_t token : tokens)
      high = std::max(high, values[token] / temperature);
    LogSumExp sum(high);
    for (int32_t token : tokens)
      sum.add(values[token] / temperature);
    return sum.get();
  };
  double logP = normaliser(reference), logQ = normaliser(logits), total = 0;
  for (int32_t token : tokens)
    total += term(reference[token] / temperature - logP,
                  logits[token] / temperature - logQ);
  return total;
}

// Rounding may leave a little less than nothing; NaN stays.
double atLeastZero(double value) { return value < 0 ? 0 : value; }

bool finite(ArrayRef<float> values) {
  return llvm::all_of(values, [](float x) { return std::isfinite(x); });
}

} // namespace

Divergence divergence(ArrayRef<float> reference, ArrayRef<float> logits,
                      TopK parameters) {
  assert(reference.size() == logits.size() && "one vocabulary");
  if (!finite(reference) || !finite(logits)) {
    double nan = std::numeric_limits<double>::quiet_NaN();
    return {nan, nan, false};
  }
  SmallVector<int32_t> top =
      largest(reference, std::min<size_t>(parameters.count, reference.size()));
  Split p = split(reference, top), q = split(logits, top);
  Divergence result;
  for (size_t token = 0; token < reference.size(); ++token)
    result.kld += term(reference[token] - p.all, logits[token] - q.all);
  result.kld = atLeastZero(result.kld);
  result.topK = atLeastZero(term(p.inside - p.all, q.inside - q.all) +
                            term(p.rest - p.all, q.rest - q.all)) +
                std::exp(p.inside - p.all) *
                    atLeastZero(temperedDivergence(reference, logits, top,
                                                   parameters.temperature));
  result.sameTop = llvm::max_element(reference) - reference.begin() ==
                   llvm::max_element(logits) - logits.begin();
  return result;
}

double negativeLogLikelihood(ArrayRef<float> logits, int32_t token) {
  LogSumExp sum(*llvm::max_element(logits));
  for (float value : logits)
    sum.add(value);
  return sum.get() - logits[token];
}

void DivergenceStatistics::add(const Divergence &position) {
  klds.push_back(position.kld);
  kldSum += position.kld;
  topKSum += position.topK;
  same += position.sameTop;
}

double DivergenceStatistics::kldMean() const {
  return klds.empty() ? 0 : kldSum / double(klds.size());
}

double DivergenceStatistics::kldStandardError() const {
  if (klds.size() < 2)
    return 0;
  double mean = kldMean(), squares = 0, n = double(klds.size());
  for (double kld : klds)
    squares += (kld - mean) * (kld - mean);
  return std::sqrt(squares / (n - 1) / n);
}

double DivergenceStatistics::kldPercentile(double percent) const {
  if (klds.empty())
    return 0;
  std::vector<double> sorted = klds;
  llvm::sort(sorted);
  double place = percent / 100 * double(sorted.size() - 1);
  size_t below = size_t(place), above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] +
         (place - double(below)) * (sorted[above] - sorted[below]);
}

double DivergenceStatistics::topKMean() const {
  return klds.empty() ? 0 : topKSum / double(klds.size());
}

double DivergenceStatistics::sameTopShare() const {
  return klds.empty() ? 0 : double(same) / double(klds.size());
}

} // namespace lfmc

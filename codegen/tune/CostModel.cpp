// SPDX-License-Identifier: Apache-2.0
#include "codegen/tune/CostModel.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace lfmc::tune {

// What a related kernel's time says of this one's.
static constexpr double relation = 0.8;

CostModel::CostModel(std::vector<Sample> given) : samples(std::move(given)) {
  double sum = 0, squares = 0;
  for (const Sample &sample : samples)
    sum += sample.value;
  center = sum / double(samples.size());
  for (const Sample &sample : samples)
    squares += (sample.value - center) * (sample.value - center);
  scale = std::max(0.01, std::sqrt(squares / double(samples.size())));
  lengths.assign(samples[0].point.size(), 1.0);

  // By coordinates: few samples, so that each fit is cheap.
  double best = fit();
  auto attempt = [&](double &value, double factor) {
    const double before = value;
    value *= factor;
    const double likelihood = fit();
    if (likelihood > best + 1e-9) {
      best = likelihood;
      return true;
    }
    value = before;
    return false;
  };
  if (samples.size() >= 6)
    for (int round = 0; round < 2; ++round) {
      for (double &length : lengths)
        for (double change : {2.0, 0.5})
          while (length > 0.1 && length < 16 && attempt(length, change))
            ;
      for (double change : {4.0, 0.25})
        while (noise > 1e-4 && noise < 0.5 && attempt(noise, change))
          ;
    }
  fit();
}

double CostModel::covariance(const std::vector<double> &a,
                             const std::vector<double> &b,
                             bool sameKernel) const {
  double distance = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double d = (a[i] - b[i]) / lengths[i];
    distance += d * d;
  }
  return std::exp(-distance / 2) * (sameKernel ? 1 : relation);
}

double CostModel::fit() {
  const size_t n = samples.size();
  factor.assign(n * n, 0);
  weights.assign(n, 0);
  double logDeterminant = 0;
  for (size_t i = 0; i < n; ++i)
    for (size_t j = 0; j <= i; ++j) {
      double value = covariance(samples[i].point, samples[j].point,
                                samples[i].related == samples[j].related) +
                     (i == j ? noise : 0);
      for (size_t k = 0; k < j; ++k)
        value -= factor[i * n + k] * factor[j * n + k];
      if (i != j) {
        factor[i * n + j] = value / factor[j * n + j];
        continue;
      }
      if (value <= 1e-12)
        return -std::numeric_limits<double>::infinity();
      factor[i * n + i] = std::sqrt(value);
      logDeterminant += std::log(value);
    }
  // Forward, then backward.
  double quadratic = 0;
  for (size_t i = 0; i < n; ++i) {
    double value = (samples[i].value - center) / scale;
    for (size_t k = 0; k < i; ++k)
      value -= factor[i * n + k] * weights[k];
    weights[i] = value / factor[i * n + i];
    quadratic += weights[i] * weights[i];
  }
  for (size_t i = n; i-- > 0;) {
    double value = weights[i];
    for (size_t k = i + 1; k < n; ++k)
      value -= factor[k * n + i] * weights[k];
    weights[i] = value / factor[i * n + i];
  }
  // A prior that distrusts lengths far from one.
  double prior = 0;
  for (double length : lengths)
    prior += std::pow(std::log(length), 2) / 8;
  return -(quadratic + logDeterminant) / 2 - prior;
}

CostModel::Prediction
CostModel::predict(const std::vector<double> &point) const {
  const size_t n = samples.size();
  std::vector<double> solved(n);
  double mean = 0, explained = 0;
  for (size_t i = 0; i < n; ++i) {
    const double value =
        covariance(point, samples[i].point, !samples[i].related);
    mean += value * weights[i];
    double rest = value;
    for (size_t k = 0; k < i; ++k)
      rest -= factor[i * n + k] * solved[k];
    solved[i] = rest / factor[i * n + i];
    explained += solved[i] * solved[i];
  }
  return {center + scale * mean,
          scale * std::sqrt(std::max(1e-9, 1 - explained))};
}

} // namespace lfmc::tune

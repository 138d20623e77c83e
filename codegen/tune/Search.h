// SPDX-License-Identifier: Apache-2.0
//
// Which candidate to measure next. Pure: knows points and scores, no kernels
// and no devices, so that it can be tried on recorded measurements.
#ifndef LFMC_CODEGEN_TUNE_SEARCH_H
#define LFMC_CODEGEN_TUNE_SEARCH_H

#include "targets/Tuning.h"

#include <cstddef>
#include <memory>
#include <optional>
#include <vector>

namespace lfmc::tune {

/// Coordinates of a choice: the logarithms of the values that `phase` uses,
/// in units of four octaves.
using Point = std::vector<double>;
Point pointOf(const Space &space, Phase phase, const Choice &choice);

/// What is known of a kernel like the one that is tuned, in the same
/// coordinates.
struct Observation {
  Point point;
  double score;
};

/// Proposes indices of a list of points, each once. Scores are logarithms of
/// times: smaller is better; those of points that failed are NaN. Several may
/// be proposed before the first is told.
class Strategy {
public:
  virtual ~Strategy();
  virtual std::optional<size_t> next() = 0;
  virtual void tell(size_t index, double score) = 0;
};

enum class StrategyKind { Guided, Climb, Random };
std::optional<StrategyKind> strategyKind(llvm::StringRef name);

/// Guided: a Gaussian process over the points, of which the largest expected
/// improvement is next; `related` is what it starts from. Climb: the neighbours
/// of the best so far, in random order. All begin with point 0.
std::unique_ptr<Strategy> makeStrategy(StrategyKind kind,
                                       std::vector<Point> points, uint64_t seed,
                                       std::vector<Observation> related = {});

} // namespace lfmc::tune

#endif // LFMC_CODEGEN_TUNE_SEARCH_H

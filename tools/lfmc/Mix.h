// SPDX-License-Identifier: Apache-2.0
//
// Which form each group of tensors takes, so that all of them together cost
// least in the bytes that there are: the multiple-choice knapsack problem.
// Plain arithmetic, nothing is measured here.
#ifndef LFMC_TOOLS_LFMC_MIX_H
#define LFMC_TOOLS_LFMC_MIX_H

#include "llvm/ADT/ArrayRef.h"

#include <cstdint>
#include <optional>
#include <vector>

namespace lfmc {

/// A form that a group may take.
struct MixChoice {
  uint64_t bytes = 0;
  double cost = 0; ///< at least 0, finite
};

/// The forms of one group, at least one, in any order.
using MixGroup = std::vector<MixChoice>;

/// All mixes than which no other has both less cost and no more bytes, costs
/// and bytes of the groups added up.
class MixFrontier {
public:
  /// With more than `limit` of them on the way, mixes of nearly the same bytes
  /// (a `limit`th of the range) are represented by the one of least cost; up to
  /// there the frontier is exact. The mix of fewest bytes is always in it.
  explicit MixFrontier(llvm::ArrayRef<MixGroup> groups, size_t limit = 1 << 14);

  /// By ascending bytes, which is descending cost; at least one.
  const std::vector<MixChoice> &points() const { return all; }

  /// The point of least cost with no more than `bytes` bytes, if any.
  std::optional<size_t> within(uint64_t bytes) const;
  /// The point of fewest bytes whose cost is no more than `cost`, if any.
  std::optional<size_t> below(double cost) const;

  /// For each group the index of its form.
  std::vector<size_t> choices(size_t point) const;

private:
  /// How a point was made: from which of the groups before, with which form.
  struct Step {
    uint32_t point, choice;
  };
  std::vector<std::vector<Step>> steps; // by group, then point
  std::vector<MixChoice> all;
};

} // namespace lfmc

#endif // LFMC_TOOLS_LFMC_MIX_H

// SPDX-License-Identifier: Apache-2.0
#include "tools/lfmc/Mix.h"

#include "llvm/ADT/STLExtras.h"

#include <tuple>

using namespace llvm;

namespace lfmc {

MixFrontier::MixFrontier(ArrayRef<MixGroup> groups, size_t limit) : all(1) {
  struct Candidate {
    MixChoice total;
    Step step;
  };
  for (const MixGroup &group : groups) {
    std::vector<Candidate> candidates;
    candidates.reserve(all.size() * group.size());
    for (size_t point = 0; point < all.size(); ++point)
      for (size_t choice = 0; choice < group.size(); ++choice)
        candidates.push_back({{all[point].bytes + group[choice].bytes,
                               all[point].cost + group[choice].cost},
                              {uint32_t(point), uint32_t(choice)}});
    llvm::sort(candidates, [](const Candidate &a, const Candidate &b) {
      auto key = [](const Candidate &c) {
        return std::tuple(c.total.bytes, c.total.cost, c.step.point,
                          c.step.choice);
      };
      return key(a) < key(b);
    });
    std::vector<Candidate> kept;
    for (const Candidate &candidate : candidates)
      if (kept.empty() || candidate.total.cost < kept.back().total.cost)
        kept.push_back(candidate);
    if (kept.size() > limit) {
      uint64_t first = kept[0].total.bytes;
      uint64_t bucket = (kept.back().total.bytes - first) / limit + 1;
      std::vector<Candidate> thin = {kept[0]};
      for (const Candidate &candidate : drop_begin(kept)) {
        // The last of a bucket costs least.
        if (thin.size() > 1 && (candidate.total.bytes - first) / bucket ==
                                   (thin.back().total.bytes - first) / bucket)
          thin.back() = candidate;
        else
          thin.push_back(candidate);
      }
      kept = std::move(thin);
    }
    all.clear();
    std::vector<Step> &made = steps.emplace_back();
    for (const Candidate &candidate : kept) {
      all.push_back(candidate.total);
      made.push_back(candidate.step);
    }
  }
}

std::optional<size_t> MixFrontier::within(uint64_t bytes) const {
  auto end = llvm::upper_bound(all, bytes, [](uint64_t limit, MixChoice point) {
    return limit < point.bytes;
  });
  if (end == all.begin())
    return std::nullopt;
  return size_t(end - all.begin()) - 1;
}

std::optional<size_t> MixFrontier::below(double cost) const {
  auto found = llvm::find_if(
      all, [&](const MixChoice &point) { return point.cost <= cost; });
  if (found == all.end())
    return std::nullopt;
  return size_t(found - all.begin());
}

std::vector<size_t> MixFrontier::choices(size_t point) const {
  std::vector<size_t> result(steps.size());
  for (size_t group = steps.size(); group-- > 0;) {
    Step step = steps[group][point];
    result[group] = step.choice;
    point = step.point;
  }
  return result;
}

} // namespace lfmc

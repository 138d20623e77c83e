// SPDX-License-Identifier: Apache-2.0
//
// --quant auto: which tensors are stored in how many bits.
#ifndef LFMC_TOOLS_LFMC_AUTOQUANT_H
#define LFMC_TOOLS_LFMC_AUTOQUANT_H

#include "tools/lfmc/Cache.h"
#include "tools/lfmc/MixReport.h"

namespace lfmc::cli {

/// What a mix must keep to; one of them is set.
struct MixBudget {
  /// Of all tensors, without the rope's table and what lies between tensors.
  std::optional<uint64_t> bytes;
  /// Nats: the Top-K divergence (Divergence.h) from the model as it is.
  std::optional<double> kl;
};

/// Measures each group of tensors of `checkpoint` in each form on this machine
/// and chooses the forms: least divergence in the bytes, or fewest bytes within
/// the divergence. Then compiles the mix and measures it; if it diverges more
/// than the sum of its parts said, and more than is allowed, chooses again.
/// Packages are placed in the cache. Equal arguments give equal mixes. Fails
/// for a budget that cannot be met and says the least that can.
llvm::Expected<MixReport> chooseMix(const std::string &checkpoint,
                                    const CompileFlags &flags,
                                    const MixBudget &budget);

} // namespace lfmc::cli

#endif // LFMC_TOOLS_LFMC_AUTOQUANT_H

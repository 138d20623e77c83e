// SPDX-License-Identifier: Apache-2.0
//
// Kernel providers: a provider looks at an lfm2 op and a target and returns a
// kernel together with the weight layout that the kernel reads, so that the two
// cannot disagree. Providers are asked in order; the first match wins.
#ifndef LFMC_TARGETS_KERNELS_H
#define LFMC_TARGETS_KERNELS_H

#include "dialects/kernel/Kernel.h"
#include "dialects/lfm2/Lfm2.h"
#include "targets/Target.h"
#include "targets/Tuning.h"

#include <memory>
#include <optional>

namespace lfmc {

/// A provider's answer.
struct Kernel {
  llvm::StringRef generator;                      ///< of codegen/llvm
  llvm::SmallVector<mlir::NamedAttribute> params; ///< the generator's
  kernel::ChunksAttr chunks;                      ///< how a call is cut
  /// Layout of the op's matrix (`weight` or `table` operand); null: none is
  /// read in panels.
  lfm2::PanelsAttr layout;
  /// If set, the kernel leaves parts of the op's only result in a buffer of
  /// type `parts`, and this one, replicated, makes the result of them.
  std::shared_ptr<Kernel> combine = nullptr;
  mlir::RankedTensorType parts = {};
};

/// A provider; one whose kernel has parameters to tune asks `tuner`, which may
/// be null, for its choice.
class KernelProvider {
public:
  using Plain = std::optional<Kernel> (*)(mlir::Operation *, const Target &);
  using Tuned = std::optional<Kernel> (*)(mlir::Operation *, const Target &,
                                          const Tuner *);
  KernelProvider(Plain plain) : plain(plain) {}
  KernelProvider(Tuned tuned) : tuned(tuned) {}

  std::optional<Kernel> operator()(mlir::Operation *op, const Target &target,
                                   const Tuner *tuner) const {
    return plain ? plain(op, target) : tuned(op, target, tuner);
  }

private:
  Plain plain = nullptr;
  Tuned tuned = nullptr;
};

/// The providers of `target`, best first. The caller falls back to the linalg
/// expansion when none matches.
llvm::ArrayRef<KernelProvider> kernelProviders(const Target &target);

/// The answer of the first provider that takes `op`.
std::optional<Kernel> kernelFor(mlir::Operation *op, const Target &target,
                                const Tuner *tuner = nullptr);

/// Positions side by side in a K cache: scores of that many keys are computed
/// together, without horizontal sums. V caches have one.
inline constexpr int64_t keyCacheLanes = 16;

/// Elements between the rows of a token-major value: its width, or that of the
/// tensor it is a column slice of.
int64_t rowStride(mlir::Value rows);

} // namespace lfmc

#endif // LFMC_TARGETS_KERNELS_H

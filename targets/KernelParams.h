// SPDX-License-Identifier: Apache-2.0
//
// What kernel providers share. Private to targets.
#ifndef LFMC_TARGETS_KERNELPARAMS_H
#define LFMC_TARGETS_KERNELPARAMS_H

#include "targets/Kernels.h"

#include "mlir/IR/Builders.h"
#include "llvm/Support/MathExtras.h"

namespace lfmc {

inline int64_t width(mlir::Value rows) {
  return mlir::cast<mlir::RankedTensorType>(rows.getType()).getDimSize(1);
}

/// Whether an op's rows are those of one token.
inline bool isOneToken(mlir::Operation *op) {
  return mlir::cast<mlir::RankedTensorType>(op->getOperand(0).getType())
             .getDimSize(0) == 1;
}

/// Collects parameters of one kernel.
struct KernelParams {
  mlir::Builder builder;
  llvm::SmallVector<mlir::NamedAttribute> list;

  explicit KernelParams(mlir::Operation *op) : builder(op->getContext()) {}
  KernelParams &add(llvm::StringRef name, int64_t value) {
    list.push_back(
        builder.getNamedAttr(name, builder.getI64IntegerAttr(value)));
    return *this;
  }
  KernelParams &add(llvm::StringRef name, double value) {
    list.push_back(builder.getNamedAttr(name, builder.getF64FloatAttr(value)));
    return *this;
  }
  /// A tuned value; `preset` is what the generator takes by itself.
  KernelParams &addUnless(int64_t preset, llvm::StringRef name, int64_t value) {
    return value == preset ? *this : add(name, value);
  }
  Kernel kernel(llvm::StringRef generator, int64_t fixed, int64_t tokens,
                lfm2::PanelsAttr layout = {}) {
    return {generator, std::move(list),
            kernel::ChunksAttr::get(builder.getContext(), fixed, tokens),
            layout};
  }
};

/// The largest power of two up to `limit` that divides `n`.
inline int64_t dividingPowerOfTwo(int64_t n, int64_t limit) {
  int64_t r = llvm::bit_floor<uint64_t>(limit);
  while (n % r)
    r /= 2;
  return r;
}

/// Powers of two times `step`, up to `limit`, that divide `n`.
inline std::vector<int64_t> dividingMultiples(int64_t n, int64_t step,
                                              int64_t limit) {
  std::vector<int64_t> values;
  for (int64_t r = step; r <= limit; r *= 2)
    if (n % r == 0)
      values.push_back(r);
  return values;
}

inline constexpr uint8_t usedByOne = uint8_t(Phase::One),
                         usedByMany = uint8_t(Phase::Many),
                         usedByBoth = usedByOne | usedByMany;

/// Space::kernel of a linear: shape, format, and what is done to the sums.
std::string linearName(lfm2::LinearOp linear);

/// Rows that a kernel of each phase takes at a time, of a panel of `rows`; by
/// themselves `one` and `many` at most.
void addTileRows(Space &space, const Target &target, int64_t rows, int64_t one,
                 int64_t many);

/// Those that `choice` means.
int64_t tileRows(const Choice &choice, bool one);

/// Rows of a vector of VNNI's products, where vectors of 512 bits are there:
/// Zen 4 and others compute them in two halves, or slower. 0: the target's own
/// way. Returns whether there is such a choice.
bool addDotLanes(Space &space, const Target &target, bool many = true);

/// Whether the tiles of a choice are whole vectors of the widths that it names.
bool wholeVectors(const Choice &choice);

/// `tuner`'s choice; the preset where the weight has a layout already, by
/// another target or kernel, and the choice is for another one.
Choice chosenFor(mlir::Value weight, const Space &space, const Tuner *tuner);

/// A format as Space::kernel spells it: "f32", "q4/32".
std::string storedName(lfm2::StoredAttr stored);

/// The space of a kernel that takes tokens one after the other: how many are a
/// chunk, from `least` on. And such a kernel, of the family of its op's name.
Space rowSpace(std::string kernel, int64_t preset, int64_t least = 1);
Kernel rowKernel(KernelParams &params, mlir::Operation *op,
                 const Choice &choice, int64_t preset,
                 lfm2::PanelsAttr layout = {});

inline lfm2::StoredAttr stored(mlir::Value weight) {
  return mlir::dyn_cast_if_present<lfm2::StoredAttr>(
      mlir::cast<mlir::RankedTensorType>(weight.getType()).getEncoding());
}

/// The panels of a weight that is made of matrices of `n` rows: of up to `most`
/// rows, where no other target has chosen them before
/// (lfmc-select-kernels{pinned}); null if that choice has another depth.
lfm2::PanelsAttr panelsOf(mlir::Value weight, int64_t n, bool swiglu,
                          int64_t most, int64_t depth);

/// Panels of `rows` rows with quantized weights of `kind`, as the kernels of
/// `target` read them.
lfm2::PanelsAttr quantizedPanels(mlir::MLIRContext *context,
                                 const Target &target, lfm2::StoredKind kind,
                                 int64_t rows, bool halves);

/// Register tile of a linear's kernels.
struct LinearTile {
  int64_t rows;   ///< of a panel
  int64_t tokens; ///< of the many-token kernel
  int64_t panels; ///< that the one-token kernel reads side by side
};
LinearTile floatTile(const Target &target);
LinearTile quantizedTile(const Target &target, lfm2::StoredKind kind);

/// Columns that one dot product instruction multiplies and adds; the depth of
/// quantized panels.
inline constexpr int64_t dotDepth = 4;

// Providers, by file.
using Answer = std::optional<Kernel>;
// AttentionKernels.cpp
Answer ropeCache(mlir::Operation *op, const Target &target, const Tuner *tuner);
Answer attention(mlir::Operation *op, const Target &target, const Tuner *tuner);
// ExpertKernels.cpp
Answer route(mlir::Operation *op, const Target &target);
Answer experts(mlir::Operation *op, const Target &target, const Tuner *tuner);
// QuantizedKernels.cpp
Answer linearQuantized(mlir::Operation *op, const Target &target,
                       const Tuner *tuner);
Answer quantizeRows(mlir::Operation *op, const Target &target,
                    const Tuner *tuner);
// RowKernels.cpp
Answer embed(mlir::Operation *op, const Target &target, const Tuner *tuner);
Answer rmsNorm(mlir::Operation *op, const Target &target, const Tuner *tuner);
Answer shortConv(mlir::Operation *op, const Target &target, const Tuner *tuner);
Answer swiglu(mlir::Operation *op, const Target &target);
Answer add(mlir::Operation *op, const Target &target);

} // namespace lfmc

#endif // LFMC_TARGETS_KERNELPARAMS_H

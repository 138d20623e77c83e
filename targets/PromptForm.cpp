// SPDX-License-Identifier: Apache-2.0
#include "targets/PromptForm.h"

#include "runtime/include/lfm/program.h"

using namespace mlir;

namespace lfmc {

int64_t panelRows(int64_t n, int64_t most, bool swiglu) {
  return swiglu ? 2 * dividingPowerOfTwo(n / 2, most / 2)
                : dividingPowerOfTwo(n, most);
}

/// A parameter of the kernel that is called; 0 if it has none such.
static int64_t parameterOf(kernel::CallOp call, StringRef name) {
  auto decl = SymbolTable::lookupNearestSymbolFrom<kernel::DeclOp>(
      call, call.getCalleeAttr());
  auto value = decl ? decl.getParams().getAs<IntegerAttr>(name) : nullptr;
  return value ? value.getInt() : 0;
}

bool inQuads(Value x, const Target &target) {
  if (!(target.cpuFeatures & LFM_CPU_ARM_I8MM) ||
      cast<RankedTensorType>(x.getType()).getDimSize(0) == 1 ||
      !isa_and_nonnull<lfm2::QuantizedAttr>(
          cast<RankedTensorType>(x.getType()).getEncoding()))
    return false;
  // Rewritten already, before its users.
  if (auto call = x.getDefiningOp<kernel::CallOp>())
    return parameterOf(call, "quads");
  return llvm::all_of(x.getUsers(), [](Operation *user) {
    auto linear = dyn_cast<lfm2::LinearOp>(user);
    return linear &&
           panelRows(cast<RankedTensorType>(linear.getWeight().getType())
                         .getDimSize(0),
                     matrixRows,
                     linear.getActivation() == lfm2::Activation::Swiglu) %
                   4 ==
               0;
  });
}

bool inPairs(const Target &target) {
  return target.isX86() && target.vectorLanes >= 8 &&
         !(target.cpuFeatures & (LFM_CPU_AVX_VNNI | LFM_CPU_AVX512_ICELAKE));
}
bool inPairs(lfm2::LinearOp linear, const Target &target) {
  const int64_t lanes = target.vectorLanes;
  lfm2::StoredAttr weight = stored(linear.getWeight());
  lfm2::PanelsAttr layout = weight ? weight.getLayout() : nullptr;
  return inPairs(target) && weight && weight.isQuantized() &&
         cast<RankedTensorType>(linear.getWeight().getType()).getDimSize(0) %
                 lanes ==
             0 &&
         (!layout || layout.getRows() % lanes == 0);
}

int64_t pairTile(lfm2::StoredKind kind, const Target &target) {
  const int64_t codes = kind == lfm2::StoredKind::Q6 ? 4 : 2;
  return (target.vectorRegisters - 3 - codes) / 2;
}

int64_t wideGroup(lfm2::LinearOp linear, const Target &target) {
  auto type = cast<RankedTensorType>(linear.getWeight().getType());
  const int64_t n = type.getDimSize(0), k = type.getDimSize(1);
  lfm2::StoredAttr weight = stored(linear.getWeight());
  const uint32_t able =
      LFM_CPU_AVX_VNNI | LFM_CPU_AVX512_ICELAKE | LFM_CPU_ARM_I8MM;
  if (!(inPairs(target) || (target.cpuFeatures & able)) ||
      (target.cpuFeatures & LFM_CPU_AMX_INT8) || !weight ||
      weight.getKind() != lfm2::StoredKind::Q4 || n % target.vectorLanes ||
      (weight.getLayout() && weight.getLayout().getRows() % target.vectorLanes))
    return 0;
  return k % 256 == 0 ? 256 : k % 128 == 0 ? 128 : 0;
}

int64_t groupOf(Value x, const Target &target) {
  if (cast<RankedTensorType>(x.getType()).getDimSize(0) == 1)
    return 0;
  if (auto call = x.getDefiningOp<kernel::CallOp>()) // rewritten already
    return parameterOf(call, "group");
  if (target.isArm64() && !inQuads(x, target))
    return 0;
  int64_t group = 0;
  for (Operation *user : x.getUsers()) {
    auto linear = dyn_cast<lfm2::LinearOp>(user);
    group = linear ? wideGroup(linear, target) : 0;
    if (!group)
      return 0;
  }
  return group;
}

bool limitedRows(Value x, const Target &target) {
  if (cast<RankedTensorType>(x.getType()).getDimSize(0) == 1)
    return false;
  if (auto call = x.getDefiningOp<kernel::CallOp>()) // rewritten already
    return parameterOf(call, "limited");
  return llvm::any_of(x.getUsers(), [&](Operation *user) {
    auto linear = dyn_cast<lfm2::LinearOp>(user);
    return linear && inPairs(linear, target) &&
           stored(linear.getWeight()).getKind() == lfm2::StoredKind::Q8;
  });
}

bool inSixteens(Value x, const Target &target) {
  if (!(target.cpuFeatures & LFM_CPU_ARM_SME) || !groupOf(x, target))
    return false;
  if (auto call = x.getDefiningOp<kernel::CallOp>()) // rewritten already
    return parameterOf(call, "outer");
  return llvm::all_of(x.getUsers(), [](Operation *user) {
    auto linear = cast<lfm2::LinearOp>(user);
    lfm2::PanelsAttr layout = stored(linear.getWeight()).getLayout();
    const int64_t rows = panelRows(
        cast<RankedTensorType>(linear.getWeight().getType()).getDimSize(0),
        matrixRows, linear.getActivation() == lfm2::Activation::Swiglu);
    return (layout ? layout.getRows() : rows) == matrixRows;
  });
}

int64_t wideColumns(int64_t k, int64_t group, bool swiglu) {
  const int64_t pieces = swiglu ? 1 : llvm::divideCeil(k, 6144);
  return llvm::alignTo(llvm::divideCeil(k, pieces), group);
}

} // namespace lfmc

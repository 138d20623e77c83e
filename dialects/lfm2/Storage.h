// SPDX-License-Identifier: Apache-2.0
//
// How many bytes weights and states take. The pass that assigns offsets, the
// packer and `lfmc inspect` agree through these functions.
#ifndef LFMC_DIALECTS_LFM2_STORAGE_H
#define LFMC_DIALECTS_LFM2_STORAGE_H

#include "dialects/lfm2/Lfm2.h"

#include <cstdint>

namespace lfmc::lfm2 {

/// Every tensor of the weights file and every state starts at a multiple of it:
/// a vector of HVX, two lines elsewhere.
inline constexpr uint64_t storageAlignment = 128;

/// `bytes` rounded up to the next multiple of `storageAlignment`.
inline uint64_t alignStorage(uint64_t bytes) {
  return (bytes + storageAlignment - 1) / storageAlignment * storageAlignment;
}

/// Bytes of a token's row of `width` columns as `#lfm2.quantized`: codes, f32
/// scales, i32 sums.
inline uint64_t quantizedRowBytes(int64_t width, QuantizedAttr quantized) {
  return width + width / quantized.getBlock() * 8;
}

/// Exact bytes of a weight of `type` (static shape, `#lfm2.stored` encoding) in
/// the weights file. Panels rearrange elements and add no padding. 0 for a type
/// that is no weight's.
inline uint64_t weightBytes(mlir::Type type) {
  auto tensor = mlir::dyn_cast<mlir::RankedTensorType>(type);
  if (!tensor || !tensor.hasStaticShape())
    return 0;
  auto stored = mlir::dyn_cast_or_null<StoredAttr>(tensor.getEncoding());
  if (!stored)
    return 0;
  return stored.getBytes(tensor.getNumElements());
}

/// Bytes of a head's codes and scale at one position of a quantized cache.
inline int64_t quantizedHeadBytes(int64_t dim) { return dim + 4; }

/// Exact bytes of a state of `type` (static shape; f32, f16 or a quantized
/// cache). 0 for a type that is no state's.
inline uint64_t stateBytes(mlir::Type type) {
  auto tensor = mlir::dyn_cast<mlir::RankedTensorType>(type);
  if (!tensor || !tensor.hasStaticShape() ||
      !tensor.getElementType().isIntOrFloat())
    return 0;
  if (mlir::isa_and_nonnull<QuantizedCacheAttr>(tensor.getEncoding()))
    return uint64_t(tensor.getDimSize(0)) * tensor.getDimSize(1) *
           quantizedHeadBytes(tensor.getDimSize(2));
  return uint64_t(tensor.getNumElements()) *
         (tensor.getElementTypeBitWidth() / 8);
}

} // namespace lfmc::lfm2

#endif // LFMC_DIALECTS_LFM2_STORAGE_H

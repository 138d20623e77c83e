// SPDX-License-Identifier: Apache-2.0
//
// A dense tensor in host memory: what the reference executor takes and gives.
#ifndef LFMC_CODEGEN_REFERENCE_HOSTTENSOR_H
#define LFMC_CODEGEN_REFERENCE_HOSTTENSOR_H

#include "llvm/ADT/ArrayRef.h"

#include <cstdint>
#include <string>
#include <vector>

namespace lfmc {

/// Row-major, owns its data. An `Index` tensor has rank 0 and stands for a
/// scalar argument of type index.
struct HostTensor {
  enum class Element : uint8_t { F32, F16, I32, Index };

  Element element = Element::F32;
  std::vector<int64_t> shape;
  std::vector<uint8_t> data; ///< numElements() elements, native byte order

  /// Zeros.
  HostTensor(Element element, llvm::ArrayRef<int64_t> shape);
  HostTensor() = default;

  static HostTensor f32(llvm::ArrayRef<int64_t> shape,
                        llvm::ArrayRef<float> values);
  static HostTensor i32(llvm::ArrayRef<int32_t> values); ///< rank 1
  static HostTensor index(int64_t value);

  int64_t numElements() const;
  /// Elements of an F32 tensor.
  llvm::ArrayRef<float> floats() const;
  llvm::MutableArrayRef<float> floats();
  /// Elements of an F32 or F16 tensor as f32.
  std::vector<float> toFloats() const;
  /// The type in MLIR's spelling, for messages: "tensor<2x3xf32>".
  std::string typeText() const;

  static unsigned elementBytes(Element element);
};

} // namespace lfmc

#endif // LFMC_CODEGEN_REFERENCE_HOSTTENSOR_H

// SPDX-License-Identifier: Apache-2.0
#include "dialects/lfm2/Lfm2.h"

#include "mlir/IR/Builders.h"
#include "mlir/IR/DialectImplementation.h"
#include "llvm/ADT/TypeSwitch.h"

#include <cmath>

using namespace mlir;
using namespace lfmc::lfm2;

#define GET_ATTRDEF_CLASSES
#include "dialects/lfm2/Lfm2Attrs.cpp.inc"

void Lfm2Dialect::registerAttributes() {
  addAttributes<
#define GET_ATTRDEF_LIST
#include "dialects/lfm2/Lfm2Attrs.cpp.inc"
      >();
}

LogicalResult PanelsAttr::verify(function_ref<InFlightDiagnostic()> emitError,
                                 int64_t rows, int64_t depth, bool halves,
                                 bool raised) {
  if (rows < 1)
    return emitError() << "expected at least 1 row a panel, found " << rows;
  if (depth < 1)
    return emitError() << "expected a depth of at least 1, found " << depth;
  return success();
}

int64_t StoredAttr::getBits() const {
  switch (getKind()) {
  case StoredKind::F32:
    return 32;
  case StoredKind::BF16:
  case StoredKind::F16:
    return 16;
  case StoredKind::Q8:
    return 8;
  case StoredKind::Q6:
    return 6;
  case StoredKind::Q4:
  case StoredKind::Q4M:
    return 4;
  }
  llvm_unreachable("all kinds are handled");
}

int64_t StoredAttr::getBytes(int64_t elements) const {
  int64_t bytes = elements * getBits() / 8;
  if (isQuantized())
    bytes += elements / getBlock() * (hasMinimum() ? 4 : 2);
  return bytes;
}

static std::string dimText(int64_t dim) {
  return ShapedType::isDynamic(dim) ? "?" : std::to_string(dim);
}

LogicalResult
StoredAttr::verifyEncoding(ArrayRef<int64_t> shape, Type elementType,
                           function_ref<InFlightDiagnostic()> emitError) const {
  if (!elementType.isF32()) // (C1)
    return emitError() << "expected element type 'f32' for a stored weight, "
                          "found "
                       << elementType;
  int64_t block = getBlock();
  if (isQuantized() ? block != 32 && block != 64 && block != 128
                    : block != 0) // (C5)
    return emitError() << "expected "
                       << (isQuantized() ? "a block of 32, 64 or 128 columns"
                                         : "no block")
                       << " for weights stored as "
                       << stringifyStoredKind(getKind()) << ", found " << block;
  if (isQuantized() && (shape.size() != 2 || ShapedType::isDynamic(shape[1]) ||
                        shape[1] % block)) // (C5)
    return emitError() << "expected a matrix whose columns are a multiple of "
                       << block << ", the block of its scales";
  PanelsAttr layout = getLayout();
  if (!layout)
    return success();
  if (shape.size() != 2) // (C2)
    return emitError() << "expected rank 2 for a weight stored in panels, "
                          "found rank "
                       << shape.size();
  if (layout.getRaised() && getKind() != StoredKind::Q8) // (C6)
    return emitError() << "expected 8-bit codes in panels that are raised, "
                          "found "
                       << stringifyStoredKind(getKind());
  int64_t rows = layout.getRows(), depth = layout.getDepth();
  // (C3); a dynamic dimension is divided by nothing but 1.
  if (ShapedType::isDynamic(shape[0]) ? rows != 1 : shape[0] % rows)
    return emitError() << "expected a number of rows divisible by " << rows
                       << ", the rows of a panel, found " << dimText(shape[0]);
  if (layout.getHalves() && rows % 2) // (C3)
    return emitError() << "expected an even number of rows a panel of two "
                          "halves, found "
                       << rows;
  if (ShapedType::isDynamic(shape[1]) ? depth != 1 : shape[1] % depth) // (C4)
    return emitError() << "expected a number of columns divisible by " << depth
                       << ", the depth of a panel, found " << dimText(shape[1]);
  return success();
}

LogicalResult
CacheLayoutAttr::verify(function_ref<InFlightDiagnostic()> emitError,
                        int64_t lanes) {
  if (lanes < 1) // (C1)
    return emitError() << "expected at least 1 lane, found " << lanes;
  return success();
}

LogicalResult QuantizedAttr::verifyEncoding(
    ArrayRef<int64_t> shape, Type elementType,
    function_ref<InFlightDiagnostic()> emitError) const {
  if (!elementType.isF32() || shape.size() != 2) // (C1)
    return emitError() << "expected quantized rows of type f32 and rank 2, "
                          "found rank "
                       << shape.size() << " of " << elementType;
  if (getBlock() != 32 || ShapedType::isDynamic(shape[1]) ||
      shape[1] % getBlock()) // (C2)
    return emitError() << "expected a block of 32 that divides the width, "
                          "found block "
                       << getBlock() << " and width " << dimText(shape[1]);
  return success();
}

LogicalResult QuantizedCacheAttr::verifyEncoding(
    ArrayRef<int64_t> shape, Type elementType,
    function_ref<InFlightDiagnostic()> emitError) const {
  if (!elementType.isF32() || shape.size() != 3) // (C1)
    return emitError() << "expected a quantized cache of type f32 and rank 3, "
                          "found rank "
                       << shape.size() << " of " << elementType;
  if (getPositions() < 1 || ShapedType::isDynamic(shape[0]) ||
      shape[0] % getPositions()) // (C2)
    return emitError() << "expected blocks of positions that divide those of "
                          "the cache, found blocks of "
                       << getPositions() << " and " << dimText(shape[0])
                       << " positions";
  return success();
}

LogicalResult RopeAttr::verify(function_ref<InFlightDiagnostic()> emitError,
                               FloatAttr theta, int64_t dim, bool interleaved) {
  if (!theta.getType().isF64()) // (C1)
    return emitError() << "expected theta of type 'f64', found "
                       << theta.getType();
  double value = theta.getValueAsDouble();
  if (!std::isfinite(value) || value <= 0) // (C1)
    return emitError() << "expected a finite theta above 0, found "
                       << theta.getValue().convertToDouble();
  if (dim < 2 || dim % 2) // (C2)
    return emitError() << "expected an even number of rotated elements, at "
                          "least 2, found "
                       << dim;
  return success();
}

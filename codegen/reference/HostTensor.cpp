// SPDX-License-Identifier: Apache-2.0
#include "codegen/reference/HostTensor.h"

#include "codegen/pack/Formats.h"

#include <cassert>
#include <cstring>

using namespace lfmc;

unsigned HostTensor::elementBytes(Element element) {
  switch (element) {
  case Element::F16:
    return 2;
  case Element::Index:
    return 8;
  default:
    return 4;
  }
}

HostTensor::HostTensor(Element element, llvm::ArrayRef<int64_t> shape)
    : element(element), shape(shape.begin(), shape.end()) {
  data.resize(numElements() * elementBytes(element));
}

template <typename T>
static HostTensor make(HostTensor::Element element,
                       llvm::ArrayRef<int64_t> shape,
                       llvm::ArrayRef<T> values) {
  HostTensor tensor(element, shape);
  assert(tensor.data.size() == values.size() * sizeof(T));
  if (!values.empty())
    std::memcpy(tensor.data.data(), values.data(), tensor.data.size());
  return tensor;
}

HostTensor HostTensor::f32(llvm::ArrayRef<int64_t> shape,
                           llvm::ArrayRef<float> values) {
  return make(Element::F32, shape, values);
}

HostTensor HostTensor::i32(llvm::ArrayRef<int32_t> values) {
  return make(Element::I32, {int64_t(values.size())}, values);
}

HostTensor HostTensor::index(int64_t value) {
  return make(Element::Index, {}, llvm::ArrayRef(value));
}

int64_t HostTensor::numElements() const {
  int64_t count = 1;
  for (int64_t dim : shape)
    count *= dim;
  return count;
}

llvm::ArrayRef<float> HostTensor::floats() const {
  assert(element == Element::F32);
  return {reinterpret_cast<const float *>(data.data()), size_t(numElements())};
}

llvm::MutableArrayRef<float> HostTensor::floats() {
  assert(element == Element::F32);
  return {reinterpret_cast<float *>(data.data()), size_t(numElements())};
}

std::vector<float> HostTensor::toFloats() const {
  if (element == Element::F32)
    return floats().vec();
  assert(element == Element::F16);
  std::vector<float> result(numElements());
  pack::convert(pack::Format::F16, data.data(), pack::Format::F32,
                reinterpret_cast<uint8_t *>(result.data()), result.size());
  return result;
}

std::string HostTensor::typeText() const {
  if (element == Element::Index)
    return "index";
  std::string text = "tensor<";
  for (int64_t dim : shape)
    text += std::to_string(dim) + "x";
  const char *names[] = {"f32", "f16", "i32"};
  return text + names[unsigned(element)] + ">";
}

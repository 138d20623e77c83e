// SPDX-License-Identifier: Apache-2.0
//
// GGUF files of tests, sound ones and, by its public parts, others.
#ifndef LFMC_TESTS_FRONTEND_GGUFBUILDER_H
#define LFMC_TESTS_FRONTEND_GGUFBUILDER_H

#include <cstdint>
#include <string>
#include <type_traits>
#include <vector>

/// Writes GGUF 3. Values are numbers, bools, strings and vectors of them.
struct GgufBuilder {
  struct Tensor {
    std::string name;
    std::vector<uint64_t> dims; ///< innermost first
    uint32_t type;              ///< ggml's number
    std::string data;
    int64_t offset = -1; ///< -1: behind the one before
  };

  uint32_t version = 3;
  uint64_t alignment = 32; ///< of the data, whatever the metadata says
  std::vector<std::string> entries;
  std::vector<Tensor> tensors;

  template <typename T>
  static std::string raw(T value) {
    return std::string(reinterpret_cast<const char *>(&value), sizeof value);
  }
  static std::string text(const std::string &value) {
    return raw(uint64_t(value.size())) + value;
  }

  /// GGUF's number of a type, and a value without it.
  template <typename T>
  static uint32_t typeOf(const T &) {
    if constexpr (std::is_same_v<T, bool>)
      return 7;
    else if constexpr (std::is_same_v<T, std::string>)
      return 8;
    else if constexpr (std::is_floating_point_v<T>)
      return sizeof(T) == 4 ? 6 : 12;
    else {
      constexpr bool isSigned = std::is_signed_v<T>;
      return (sizeof(T) == 8   ? 10
              : sizeof(T) == 4 ? 4
              : sizeof(T) == 2 ? 2
                               : 0) +
             isSigned;
    }
  }
  template <typename T>
  static std::string encode(const T &value) {
    if constexpr (std::is_same_v<T, std::string>)
      return text(value);
    else
      return raw(value);
  }

  template <typename T>
  GgufBuilder &add(const std::string &key, T value) {
    entries.push_back(text(key) + raw(typeOf(value)) + encode(value));
    return *this;
  }
  GgufBuilder &add(const std::string &key, const char *value) {
    return add(key, std::string(value));
  }
  template <typename T>
  GgufBuilder &add(const std::string &key, const std::vector<T> &values) {
    std::string entry = text(key) + raw(uint32_t(9)) + raw(typeOf(T())) +
                        raw(uint64_t(values.size()));
    for (const T &value : values)
      entry += encode(value);
    entries.push_back(entry);
    return *this;
  }

  std::string bytes() const {
    std::string out = "GGUF" + raw(version) + raw(uint64_t(tensors.size())) +
                      raw(uint64_t(entries.size()));
    for (const std::string &entry : entries)
      out += entry;
    std::string data;
    for (const Tensor &tensor : tensors) {
      out += text(tensor.name) + raw(uint32_t(tensor.dims.size()));
      for (uint64_t dim : tensor.dims)
        out += raw(dim);
      pad(data);
      out += raw(tensor.type) +
             raw(tensor.offset < 0 ? uint64_t(data.size()) : tensor.offset);
      data += tensor.data;
    }
    pad(out);
    return out + data;
  }

private:
  void pad(std::string &text) const {
    text.resize((text.size() + alignment - 1) / alignment * alignment);
  }
};

#endif // LFMC_TESTS_FRONTEND_GGUFBUILDER_H

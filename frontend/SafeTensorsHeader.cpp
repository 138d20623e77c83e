// SPDX-License-Identifier: Apache-2.0
#include "frontend/Errors.h"
#include "frontend/Json.h"
#include "frontend/SafeTensors.h"

#include "llvm/ADT/StringSet.h"
#include "llvm/Support/Endian.h"

#include <algorithm>

using namespace llvm;

namespace lfmc {
namespace {

using nlohmann::json;

constexpr size_t maxRank = 8;

// The header is consumed as a stream of events: a document object model of a
// hostile 100 MB header would need gigabytes.
class HeaderReader : public nlohmann::json_sax<json> {
public:
  std::vector<TensorInfo> tensors;
  std::string failure;

  bool start_object(size_t) override {
    switch (state) {
    case State::Start:
      state = State::Top;
      return true;
    case State::TopValue:
      if (current.name == "__metadata__") {
        state = State::Metadata;
        metadataKeys.clear();
        return true;
      }
      state = State::Tensor;
      return true;
    default:
      return unexpected("an object");
    }
  }

  bool key(string_t &name) override {
    if (state == State::Top) {
      if (!names.insert(name).second)
        return fail(name == "__metadata__"
                        ? "duplicate key '__metadata__'"
                        : "duplicate tensor " + inQuotes(name));
      current = {};
      current.name = name;
      hasDtype = hasShape = hasOffsets = false;
      state = State::TopValue;
      return true;
    }
    if (state == State::Metadata) {
      if (!metadataKeys.insert(name).second)
        return fail("duplicate key " + inQuotes(name) + " in '__metadata__'");
      return true;
    }
    bool *seen = name == "dtype"          ? &hasDtype
                 : name == "shape"        ? &hasShape
                 : name == "data_offsets" ? &hasOffsets
                                          : nullptr;
    if (!seen)
      return fail(tensor() + ": unknown key " + inQuotes(name));
    if (*seen)
      return fail(tensor() + ": duplicate key " + inQuotes(name));
    *seen = true;
    state = name == "dtype"   ? State::DtypeValue
            : name == "shape" ? State::ShapeValue
                              : State::OffsetsValue;
    return true;
  }

  bool string(string_t &text) override {
    if (state == State::Metadata)
      return true;
    if (state != State::DtypeValue)
      return unexpected("a string");
    auto type = parseDType(text);
    if (!type)
      return fail(tensor() + ": unknown dtype " + inQuotes(text));
    current.dtype = *type;
    state = State::Tensor;
    return true;
  }

  bool start_array(size_t) override {
    if (state != State::ShapeValue && state != State::OffsetsValue)
      return unexpected("an array");
    inShape = state == State::ShapeValue;
    numbers.clear();
    state = State::Numbers;
    return true;
  }

  bool number_unsigned(number_unsigned_t value) override {
    if (state != State::Numbers)
      return unexpected("a number");
    if (inShape && numbers.size() == maxRank)
      return fail(
          fmt::format("{}: more than {} dimensions", tensor(), maxRank));
    if (!inShape && numbers.size() == 2)
      return fail(tensor() + ": more than two data_offsets");
    if (inShape && value > uint64_t(INT64_MAX))
      return fail(
          fmt::format("{}: dimension {} is out of range", tensor(), value));
    numbers.push_back(value);
    return true;
  }

  bool end_array() override {
    if (inShape) {
      current.shape.assign(numbers.begin(), numbers.end());
    } else {
      if (numbers.size() != 2)
        return fail(fmt::format("{}: found {} data_offsets, expected 2",
                                tensor(), numbers.size()));
      current.begin = numbers[0];
      current.end = numbers[1];
    }
    state = State::Tensor;
    return true;
  }

  bool end_object() override {
    if (state == State::Tensor) {
      StringRef missing = !hasDtype     ? "dtype"
                          : !hasShape   ? "shape"
                          : !hasOffsets ? "data_offsets"
                                        : "";
      if (!missing.empty())
        return fail(tensor() + ": no " + inQuotes(missing));
      tensors.push_back(std::move(current));
    }
    state = state == State::Top ? State::End : State::Top;
    return true;
  }

  bool null() override { return unexpected("null"); }
  bool boolean(bool) override { return unexpected("a boolean"); }
  bool binary(binary_t &) override { return unexpected("binary data"); }
  bool number_integer(number_integer_t value) override {
    return state == State::Numbers
               ? fail(fmt::format("{}: negative number {} in {}", tensor(),
                                  value, inShape ? "shape" : "data_offsets"))
               : unexpected("a number");
  }
  bool number_float(number_float_t, const string_t &text) override {
    return state == State::Numbers
               ? fail(tensor() + ": " + inQuotes(text) + " in " +
                      (inShape ? "shape" : "data_offsets") +
                      " is not an integer in range")
               : unexpected("a number");
  }
  bool parse_error(size_t, const std::string &,
                   const nlohmann::detail::exception &error) override {
    return fail("invalid JSON: " + jsonErrorText(error));
  }

private:
  enum class State {
    Start,
    Top,
    TopValue,
    Metadata,
    Tensor,
    DtypeValue,
    ShapeValue,
    OffsetsValue,
    Numbers,
    End
  };

  std::string tensor() const { return "tensor " + inQuotes(current.name); }

  bool fail(std::string why) {
    if (failure.empty())
      failure = std::move(why);
    return false;
  }

  bool unexpected(const char *what) {
    switch (state) {
    case State::Start:
      return fail(fmt::format("the header is {}, expected an object", what));
    case State::TopValue:
      return fail(fmt::format(
          "{} is {}, expected an object",
          current.name == "__metadata__" ? inQuotes(current.name) : tensor(),
          what));
    case State::Metadata:
      return fail(
          fmt::format("'__metadata__' holds {}, expected strings", what));
    case State::DtypeValue:
      return fail(
          fmt::format("{}: dtype is {}, expected a string", tensor(), what));
    case State::Numbers:
      return fail(fmt::format("{}: {} in {}, expected integers", tensor(), what,
                              inShape ? "shape" : "data_offsets"));
    default:
      return fail(fmt::format(
          "{}: {} is {}, expected an array of integers", tensor(),
          state == State::ShapeValue ? "shape" : "data_offsets", what));
    }
  }

  State state = State::Start;
  TensorInfo current;
  bool hasDtype = false, hasShape = false, hasOffsets = false, inShape = false;
  SmallVector<uint64_t, maxRank> numbers;
  StringSet<> names, metadataKeys;
};

/// Bytes that `info` needs, or nothing when the product overflows.
std::optional<uint64_t> neededBytes(const TensorInfo &info) {
  // Zero dimensions do not excuse an overflowing rest: whoever multiplies the
  // others must stay in range too.
  uint64_t product = dtypeBytes(info.dtype);
  bool zero = false;
  for (int64_t dim : info.shape) {
    zero |= dim == 0;
    if (dim != 0 && __builtin_mul_overflow(product, uint64_t(dim), &product))
      return std::nullopt;
    if (product > uint64_t(INT64_MAX))
      return std::nullopt;
  }
  return zero ? 0 : product;
}

/// Checks the byte range of every tensor against the `dataBytes` bytes of data.
std::string checkRanges(std::vector<TensorInfo> &tensors, uint64_t dataBytes) {
  for (const TensorInfo &info : tensors) {
    std::string name = "tensor " + inQuotes(info.name);
    if (info.begin > info.end)
      return fmt::format("{}: data_offsets [{}, {}] run backwards", name,
                         info.begin, info.end);
    if (info.end > dataBytes)
      return fmt::format(
          "{}: data ends at {}, but the file holds {} bytes of data", name,
          info.end, dataBytes);
    auto wanted = neededBytes(info);
    if (!wanted)
      return fmt::format("{}: the size of shape {} overflows", name,
                         shapeText(info.shape));
    if (*wanted != info.numBytes())
      return fmt::format("{}: found {} bytes of data, expected {} for {} {}",
                         name, info.numBytes(), *wanted,
                         std::string_view(dtypeName(info.dtype)),
                         shapeText(info.shape));
  }
  llvm::sort(tensors, [](const TensorInfo &a, const TensorInfo &b) {
    return std::tie(a.begin, a.end, a.name) < std::tie(b.begin, b.end, b.name);
  });
  uint64_t end = 0;
  const TensorInfo *previous = nullptr;
  for (const TensorInfo &info : tensors) {
    if (info.begin < end)
      return fmt::format("tensors {} and {} overlap", inQuotes(previous->name),
                         inQuotes(info.name));
    if (info.begin > end)
      return fmt::format(
          "{} bytes of data before tensor {} belong to no tensor",
          info.begin - end, inQuotes(info.name));
    end = info.end;
    previous = &info;
  }
  if (end != dataBytes)
    return fmt::format("the last {} bytes of data belong to no tensor",
                       dataBytes - end);
  return "";
}

} // namespace

Expected<std::vector<TensorInfo>>
parseSafeTensorsHeader(StringRef file, uint64_t fileBytes, StringRef path) {
  constexpr uint64_t lengthBytes = 8;
  if (fileBytes < lengthBytes || file.size() < lengthBytes)
    return makeError("{}: {} bytes are too few for a safetensors file",
                     inQuotes(path), fileBytes);
  uint64_t length = support::endian::read64le(file.data());
  if (length > maxSafeTensorsHeader)
    return makeError("{}: header of {} bytes, expected at most {}",
                     inQuotes(path), length, maxSafeTensorsHeader);
  if (length > file.size() - lengthBytes)
    return makeError("{}: header of {} bytes in a file of {} bytes: the file "
                     "is truncated or not a safetensors file",
                     inQuotes(path), length, fileBytes);
  StringRef header = file.substr(lengthBytes, length);
  if (header.empty() || header.front() != '{')
    return makeError("{}: the header does not start with '{{'", inQuotes(path));

  HeaderReader reader;
  bool ok = json::sax_parse(header.begin(), header.end(), &reader);
  if (!ok)
    return makeError("{}: {}", inQuotes(path), reader.failure);
  std::string why =
      checkRanges(reader.tensors, fileBytes - lengthBytes - length);
  if (!why.empty())
    return makeError("{}: {}", inQuotes(path), why);
  for (TensorInfo &info : reader.tensors) {
    info.begin += lengthBytes + length;
    info.end += lengthBytes + length;
  }
  return std::move(reader.tensors);
}

} // namespace lfmc

// SPDX-License-Identifier: Apache-2.0
#include "tools/lfmc/Goldens.h"

#include "frontend/Errors.h"
#include "frontend/SafeTensors.h"

#include <cstring>

using namespace llvm;

namespace lfmc::cli {
namespace {

class Reader {
public:
  Reader(const SafeTensors &tensors, int64_t vocabSize)
      : tensors(tensors), vocabSize(vocabSize) {}

  Error read(const TensorInfo &ids, std::vector<GoldenCase> &cases);

private:
  Expected<std::vector<int32_t>> integers(const TensorInfo &info) const;
  Expected<std::vector<float>> numbers(const TensorInfo &info) const;
  Error readLogits(GoldenCase &one, const std::string &base, const char *suffix,
                   int64_t first, bool decode, int64_t index, int64_t count);

  const SafeTensors &tensors;
  int64_t vocabSize;
};

template <typename T>
std::vector<T> copied(ArrayRef<uint8_t> bytes) {
  std::vector<T> values(bytes.size() / sizeof(T));
  std::memcpy(values.data(), bytes.data(), values.size() * sizeof(T));
  return values;
}

Expected<std::vector<int32_t>> Reader::integers(const TensorInfo &info) const {
  if (info.dtype == DType::I32)
    return copied<int32_t>(tensors.bytes(info));
  if (info.dtype != DType::I64)
    return makeError("golden {}: expected I32 or I64, found {}",
                     inQuotes(info.name), dtypeName(info.dtype).str());
  std::vector<int32_t> values;
  for (int64_t value : copied<int64_t>(tensors.bytes(info)))
    values.push_back(int32_t(std::clamp<int64_t>(value, -1, INT32_MAX)));
  return values;
}

Expected<std::vector<float>> Reader::numbers(const TensorInfo &info) const {
  if (info.dtype != DType::F32)
    return makeError("golden {}: expected F32, found {}", inQuotes(info.name),
                     dtypeName(info.dtype).str());
  return copied<float>(tensors.bytes(info));
}

// Adds tensor BASE.SUFFIX, if there is one: sequence `index` of `count`, from
// position `first` on; a negative one counts from the end.
Error Reader::readLogits(GoldenCase &one, const std::string &base,
                         const char *suffix, int64_t first, bool decode,
                         int64_t index, int64_t count) {
  const TensorInfo *info = tensors.find(base + suffix);
  if (!info)
    return Error::success();
  int64_t n = int64_t(one.tokens.size());
  int64_t position = first < 0 ? std::max<int64_t>(0, n + first) : first;
  Expected<std::vector<float>> values = numbers(*info);
  if (!values)
    return values.takeError();
  int64_t rows = info->shape.size() < 2 ? 0 : info->shape.end()[-2];
  if (info->shape.empty() || info->shape.back() != vocabSize || rows < 1 ||
      position + rows > n ||
      int64_t(values->size()) != count * rows * vocabSize)
    return makeError(
        "golden {}: expected rows of {} logits for {} tokens, found "
        "shape {}",
        inQuotes(info->name), vocabSize, n, shapeText(info->shape));
  GoldenLogits logits;
  logits.tensor = info->name;
  logits.firstPosition = position;
  logits.decode = decode;
  auto begin = values->begin() + index * rows * vocabSize;
  logits.values.assign(begin, begin + rows * vocabSize);
  one.logits.push_back(std::move(logits));
  return Error::success();
}

Error Reader::read(const TensorInfo &ids, std::vector<GoldenCase> &cases) {
  std::string base = StringRef(ids.name).drop_back(strlen("input_ids")).str();
  Expected<std::vector<int32_t>> tokens = integers(ids);
  if (!tokens)
    return tokens.takeError();
  int64_t count = ids.shape.size() == 2 ? ids.shape[0] : 1;
  if (ids.shape.empty() || ids.shape.size() > 2 || tokens->empty())
    return makeError("golden {}: expected a list of token ids, found shape {}",
                     inQuotes(ids.name), shapeText(ids.shape));
  int64_t n = int64_t(tokens->size()) / count;
  for (int64_t i = 0; i < count; ++i) {
    GoldenCase one;
    one.name = StringRef(base).rtrim('.').str();
    if (count > 1)
      one.name += fmt::format("[{}]", i);
    one.tokens.assign(tokens->begin() + i * n, tokens->begin() + (i + 1) * n);
    struct Kind {
      const char *suffix;
      int64_t first;
      bool decode;
    };
    for (Kind kind :
         {Kind{"logits", 0, false}, Kind{"decode_logits", 0, true},
          Kind{"logits_last2", -2, false}, Kind{"logits_first16", 0, false},
          Kind{"logits_last16", -16, false}})
      if (Error error = readLogits(one, base, kind.suffix, kind.first,
                                   kind.decode, i, count))
        return error;
    if (const TensorInfo *info = tensors.find(base + "greedy")) {
      Expected<std::vector<int32_t>> greedy = integers(*info);
      if (!greedy)
        return greedy.takeError();
      one.greedy = std::move(*greedy);
    }
    if (const TensorInfo *info = tensors.find(base + "nll")) {
      Expected<std::vector<float>> nll = numbers(*info);
      if (!nll)
        return nll.takeError();
      if (int64_t(nll->size()) != n - 1)
        return makeError("golden {}: expected {} values, found {}",
                         inQuotes(info->name), n - 1, nll->size());
      one.nll = std::move(*nll);
    }
    cases.push_back(std::move(one));
  }
  return Error::success();
}

} // namespace

Expected<std::vector<GoldenCase>> readGoldens(StringRef path,
                                              int64_t vocabSize) {
  Expected<SafeTensors> tensors = SafeTensors::open(path);
  if (!tensors)
    return tensors.takeError();
  Reader reader(*tensors, vocabSize);
  std::vector<GoldenCase> cases;
  for (const TensorInfo &info : tensors->tensors())
    if (StringRef(info.name).ends_with(".input_ids"))
      if (Error error = reader.read(info, cases))
        return error;
  if (cases.empty())
    return makeError("{} has no tensor NAME.input_ids", path.str());
  llvm::sort(cases, [](const GoldenCase &a, const GoldenCase &b) {
    return a.name < b.name;
  });
  return cases;
}

} // namespace lfmc::cli

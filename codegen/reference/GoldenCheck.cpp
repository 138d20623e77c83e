// SPDX-License-Identifier: Apache-2.0
#include "codegen/reference/GoldenCheck.h"

#include "frontend/Errors.h"

#include "mlir/IR/BuiltinOps.h"
#include "llvm/ADT/StringExtras.h"

#include <cmath>
#include <cstring>

using namespace mlir;
using namespace lfmc;

static constexpr float decodeTolerance = 1e-4f;

std::vector<TapName> lfmc::tapNames(ModuleOp module) {
  const std::string prefix = "model.layers.";
  int64_t layers = 0;
  llvm::StringMap<std::string> mixers; // layer number: out_proj's location
  module.walk([&](Operation *op) {
    op->getLoc()->walk([&](Location part) {
      auto named = dyn_cast<NameLoc>(part);
      if (!named || !named.getName().strref().starts_with(prefix))
        return WalkResult::advance();
      StringRef rest = named.getName().strref().drop_front(prefix.size());
      StringRef number = rest.take_while(llvm::isDigit);
      int64_t layer;
      if (!number.getAsInteger(10, layer))
        layers = std::max(layers, layer + 1);
      if (rest.ends_with(".out_proj.weight"))
        mixers[number] = named.getName().str();
      return WalkResult::advance();
    });
  });
  std::vector<TapName> names{
      {"hidden.embed", "model.embed_tokens.weight"},
      {"hidden.final_norm", "model.embedding_norm.weight"}};
  for (int64_t i = 0; i < layers; ++i) {
    std::string number = std::to_string(i);
    names.push_back({"hidden.layer" + number, prefix + number});
    if (auto mixer = mixers.find(number); mixer != mixers.end())
      names.push_back({"operator_out.layer" + number, mixer->second});
    names.push_back({"router." + number + ".logits",
                     prefix + number + ".feed_forward.gate.weight"});
  }
  return names;
}

bool CheckReport::passed() const {
  return !lines.empty() && llvm::all_of(lines, [](const Line &line) {
    return line.worst <= line.limit; // a nan fails
  });
}

static llvm::Expected<const TensorInfo *>
findTensor(const SafeTensors &file, StringRef key, DType dtype) {
  const TensorInfo *info = file.find(key);
  if (!info)
    return makeError("no tensor {} in {}", inQuotes(key),
                     std::string_view(file.filePath(0)));
  if (info->dtype != dtype)
    return makeError("tensor {}: expected {}, found {}", inQuotes(key),
                     std::string_view(dtypeName(dtype)),
                     std::string_view(dtypeName(info->dtype)));
  return info;
}

llvm::Expected<std::vector<int32_t>> lfmc::readIds(const SafeTensors &file,
                                                   StringRef key) {
  auto info = findTensor(file, key, DType::I32);
  if (!info)
    return info.takeError();
  std::vector<int32_t> ids((*info)->numElements());
  if (!ids.empty())
    std::memcpy(ids.data(), file.bytes(**info).data(), (*info)->numBytes());
  return ids;
}

llvm::Expected<HostTensor> lfmc::readFloats(const SafeTensors &file,
                                            StringRef key) {
  auto info = findTensor(file, key, DType::F32);
  if (!info)
    return info.takeError();
  HostTensor tensor(HostTensor::Element::F32, (*info)->shape);
  if (!tensor.data.empty())
    std::memcpy(tensor.data.data(), file.bytes(**info).data(),
                (*info)->numBytes());
  return tensor;
}

namespace {

/// Everything that a prompt gives, rows of all its tokens.
struct PromptRun {
  std::vector<float> logits, decoded;
  std::map<std::string, std::vector<float>> taps;
};

class Checker {
public:
  Checker(ReferenceModel &model, ArrayRef<TapName> taps,
          const SafeTensors &goldens, float tolerance, int64_t chunk)
      : model(model), taps(taps), goldens(goldens), tolerance(tolerance),
        chunk(chunk) {}

  llvm::Error prompt(const std::string &name, ArrayRef<int32_t> ids) {
    PromptRun run;
    if (llvm::Error error = prefill(ids, run))
      return error;
    struct {
      const char *suffix;
      bool fromEnd;
    } parts[] = {{".logits", false},
                 {".logits_first16", false},
                 {".logits_last16", true},
                 {".logits_last2", true}};
    for (auto [suffix, fromEnd] : parts)
      if (llvm::Error error =
              compare(name + suffix, run.logits, fromEnd, tolerance))
        return error;
    for (auto &[key, rows] : run.taps)
      if (llvm::Error error = compare(name + "." + key, rows, false, tolerance))
        return error;
    if (!goldens.find(name + ".decode_logits"))
      return llvm::Error::success();
    if (llvm::Error error = decode(ids, run))
      return error;
    report.lines.push_back({name + ".decode - prefill",
                            difference(run.decoded, run.logits),
                            decodeTolerance});
    return compare(name + ".decode_logits", run.decoded, false, tolerance);
  }

  CheckReport report;

private:
  llvm::Error prefill(ArrayRef<int32_t> ids, PromptRun &run) {
    model.reset();
    while (!ids.empty()) {
      size_t count =
          chunk > 0 ? std::min<size_t>(chunk, ids.size()) : ids.size();
      auto hidden = model.prefill(ids.take_front(count));
      if (!hidden)
        return hidden.takeError();
      for (const TapName &tap : taps)
        if (auto found = model.taps().find(tap.location);
            found != model.taps().end())
          llvm::append_range(run.taps[tap.golden], found->second.floats());
      auto logits = model.head(*hidden);
      if (!logits)
        return logits.takeError();
      llvm::append_range(run.logits, logits->floats());
      ids = ids.drop_front(count);
    }
    return llvm::Error::success();
  }

  llvm::Error decode(ArrayRef<int32_t> ids, PromptRun &run) {
    model.reset();
    for (int32_t id : ids) {
      auto logits = model.decode(id);
      if (!logits)
        return logits.takeError();
      llvm::append_range(run.decoded, logits->floats());
    }
    return llvm::Error::success();
  }

  llvm::Error compare(const std::string &key, ArrayRef<float> values,
                      bool fromEnd, float limit) {
    if (!goldens.find(key))
      return llvm::Error::success();
    auto golden = readFloats(goldens, key);
    if (!golden)
      return golden.takeError();
    ArrayRef<float> wanted = golden->floats();
    if (wanted.size() > values.size())
      return makeError("tensor {}: {} values wanted, {} computed",
                       inQuotes(key), wanted.size(), values.size());
    values = fromEnd ? values.take_back(wanted.size())
                     : values.take_front(wanted.size());
    report.lines.push_back({key, difference(values, wanted), limit});
    return llvm::Error::success();
  }

  static float difference(ArrayRef<float> left, ArrayRef<float> right) {
    if (left.size() != right.size())
      return std::numeric_limits<float>::infinity();
    float worst = 0;
    for (auto [l, r] : llvm::zip(left, right)) {
      float d = std::fabs(l - r);
      if (!(d <= worst)) // keeps a nan
        worst = d;
      if (std::isnan(worst))
        break;
    }
    return worst;
  }

  ReferenceModel &model;
  ArrayRef<TapName> taps;
  const SafeTensors &goldens;
  float tolerance;
  int64_t chunk;
};

} // namespace

llvm::Expected<CheckReport> lfmc::checkGoldens(ReferenceModel &model,
                                               ArrayRef<TapName> taps,
                                               const SafeTensors &goldens,
                                               float tolerance, int64_t chunk,
                                               int64_t maxTokens) {
  std::vector<std::string> names;
  for (const TensorInfo &info : goldens.tensors()) {
    StringRef name = info.name;
    // Batches hold several prompts; they are the same arithmetic.
    if (name.consume_back(".input_ids") && info.shape.size() == 1)
      names.push_back(name.str());
  }
  llvm::sort(names);
  Checker checker(model, taps, goldens, tolerance, chunk);
  for (const std::string &name : names) {
    auto ids = readIds(goldens, name + ".input_ids");
    if (!ids)
      return ids.takeError();
    if (maxTokens > 0 && int64_t(ids->size()) > maxTokens)
      continue;
    if (llvm::Error error = checker.prompt(name, *ids))
      return error;
  }
  return std::move(checker.report);
}

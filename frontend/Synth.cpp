// SPDX-License-Identifier: Apache-2.0
#include "frontend/Synth.h"

#include "frontend/Checkpoint.h"
#include "frontend/Errors.h"
#include "frontend/Json.h"
#include "frontend/Random.h"
#include "frontend/RandomTensor.h"
#include "frontend/SafeTensorsWriter.h"
#include "frontend/SynthTokenizer.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/ScopeExit.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"

#include <cmath>
#include <future>

using namespace llvm;

namespace lfmc {
namespace {

using nlohmann::ordered_json;

/// Style of LFM2.5: other sampling values, <think> in the vocabulary.
bool isLfm25(const SynthOptions &options) {
  return StringRef(options.preset).starts_with("2.5-");
}

ordered_json generationConfig(const ModelConfig &config, bool lfm25) {
  ordered_json result{
      {"_from_model_config", true}, {"bos_token_id", config.bos},
      {"do_sample", true},          {"eos_token_id", config.eos.at(0)},
      {"pad_token_id", config.pad}, {"repetition_penalty", 1.05}};
  if (lfm25) {
    result["temperature"] = 0.1;
    result["top_k"] = 50;
  } else {
    result["temperature"] = 0.3;
    result["min_p"] = 0.15;
  }
  return result;
}

constexpr const char *chatTemplate =
    "{{- bos_token -}}{%- for message in messages -%}{{- '<|im_start|>' + "
    "message['role'] + '\n' + message['content'] + '<|im_end|>\n' -}}"
    "{%- endfor -%}{%- if add_generation_prompt -%}{{- "
    "'<|im_start|>assistant\n' -}}{%- endif -%}";

SynthTokenizer tokenizer(const SynthOptions &options,
                         const ModelConfig &config) {
  // The small one leaves a few unused rows, as the real ones do.
  int64_t size = config.vocabSize - config.vocabSize / 50;
  SynthTokenizer result =
      options.preset == "tiny"
          ? SynthTokenizer::small(std::max<int64_t>(size, 320))
      : config.vocabSize == 128000 ? SynthTokenizer::vocab128k()
                                   : SynthTokenizer::vocab65k(isLfm25(options));
  result.seed = options.seed;
  return result;
}

RandomTensor distribution(const ExpectedTensor &tensor) {
  StringRef name = tensor.name;
  if (name.ends_with("norm.weight"))
    return {1.0, 0.05};
  if (name.ends_with("bias"))
    return {0.0, 0.02};
  return {0.0, 1 / std::sqrt(double(tensor.shape.back()))};
}

/// Files of `directory`, removed again unless kept.
class OutputDirectory {
public:
  explicit OutputDirectory(StringRef path) : path(path) {}
  ~OutputDirectory() {
    if (kept)
      return;
    for (const std::string &file : files)
      sys::fs::remove(file);
    if (created)
      sys::fs::remove(path);
  }

  Error create() {
    bool existed = sys::fs::exists(path);
    if (std::error_code ec = sys::fs::create_directories(
            path, /*IgnoreExisting=*/true, sys::fs::perms::all_all))
      return makeError("cannot create {}: {}", inQuotes(path), ec.message());
    created = !existed;
    std::error_code ec;
    sys::fs::directory_iterator first(path, ec);
    if (ec)
      return makeError("cannot read {}: {}", inQuotes(path), ec.message());
    if (first != sys::fs::directory_iterator())
      return makeError("{} is not empty", inQuotes(path));
    return Error::success();
  }
  std::string add(StringRef name) {
    SmallString<256> file(path);
    sys::path::append(file, name);
    files.push_back(std::string(file));
    return files.back();
  }
  Error write(StringRef name, StringRef contents) {
    return writeFileAtomically(add(name), contents);
  }
  void keep() { kept = true; }

private:
  std::string path;
  std::vector<std::string> files;
  bool created = false, kept = false;
};

using Shard = std::vector<size_t>; // indices of tensors

std::vector<Shard> splitShards(ArrayRef<TensorSpec> specs, uint64_t maxBytes) {
  std::vector<Shard> shards(1);
  uint64_t bytes = 0;
  for (auto [index, spec] : enumerate(specs)) {
    if (!shards.back().empty() && bytes + spec.numBytes() > maxBytes) {
      shards.emplace_back();
      bytes = 0;
    }
    shards.back().push_back(index);
    bytes += spec.numBytes();
  }
  return shards;
}

Error writeWeights(const SynthOptions &options, const ModelConfig &config,
                   OutputDirectory &output,
                   function_ref<void(uint64_t, uint64_t)> progress) {
  std::vector<ExpectedTensor> tensors = expectedTensors(config);
  std::vector<TensorSpec> specs;
  uint64_t total = 0, done = 0;
  for (const ExpectedTensor &tensor : tensors) {
    specs.push_back({tensor.name, options.dtype, tensor.shape});
    total += specs.back().numBytes();
  }
  std::vector<Shard> shards = splitShards(specs, options.maxShardBytes);
  RandomTensorSource source(options.dtype, options.threads);
  ordered_json map = ordered_json::object();
  for (auto [number, shard] : enumerate(shards)) {
    std::string name = shards.size() == 1
                           ? "model.safetensors"
                           : fmt::format("model-{:05}-of-{:05}.safetensors",
                                         number + 1, shards.size());
    std::vector<TensorSpec> shardSpecs;
    for (size_t index : shard)
      shardSpecs.push_back(specs[index]);
    auto writer = SafeTensorsWriter::create(output.add(name), shardSpecs);
    if (!writer)
      return writer.takeError();
    for (size_t index : shard) {
      map[tensors[index].name] = name;
      SplitMix64 mix(options.seed + 0x5eed * (index + 1));
      Error error = source.generate(
          distribution(tensors[index]), mix(), specs[index].numBytes(),
          [&](ArrayRef<uint8_t> piece) {
            done += piece.size();
            if (progress)
              progress(done, total);
            return (*writer)->append(tensors[index].name, piece);
          });
      if (error)
        return error;
    }
    if (Error error = (*writer)->finish())
      return error;
  }
  if (shards.size() == 1)
    return Error::success();
  ordered_json index{{"metadata", {{"total_size", total}}},
                     {"weight_map", std::move(map)}};
  return output.write("model.safetensors.index.json", index.dump(2) + "\n");
}

} // namespace

Error synthesize(const SynthOptions &options, StringRef directory,
                 function_ref<void(uint64_t, uint64_t)> progress) {
  auto configText = synthConfigJson(options);
  if (!configText)
    return configText.takeError();
  auto parsed = parseJson(*configText, "config.json");
  if (!parsed)
    return parsed.takeError();
  auto config = ModelConfig::parse(*parsed, "config.json");
  if (!config)
    return config.takeError();

  OutputDirectory output(directory);
  if (Error error = output.create())
    return error;
  SynthTokenizer vocabulary = tokenizer(options, *config);
  // Learning the merges takes about as long as a small model's weights.
  auto tokenizerText =
      std::async(std::launch::async, [&] { return vocabulary.json(); });
  if (Error error = writeWeights(options, *config, output, progress)) {
    tokenizerText.wait();
    return error;
  }
  ordered_json tokenizerConfig{{"add_bos_token", true},
                               {"bos_token", vocabulary.bos},
                               {"clean_up_tokenization_spaces", false},
                               {"eos_token", "<|im_end|>"},
                               {"model_max_length", 128000},
                               {"pad_token", "<|pad|>"},
                               {"tokenizer_class", "PreTrainedTokenizerFast"}};
  std::string generation =
      generationConfig(*config, isLfm25(options)).dump(2) + "\n";
  struct File {
    const char *name;
    std::string contents;
  };
  File files[] = {{"tokenizer.json", tokenizerText.get()},
                  {"tokenizer_config.json", tokenizerConfig.dump(2) + "\n"},
                  {"chat_template.jinja", chatTemplate},
                  {"generation_config.json", generation},
                  {"config.json", *configText}};
  for (const File &file : files)
    if (Error error = output.write(file.name, file.contents))
      return error;
  output.keep();
  return Error::success();
}

} // namespace lfmc

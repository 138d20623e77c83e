// SPDX-License-Identifier: Apache-2.0
//
// The driver's part that describes what it has compiled: lfm_program, the texts
// of the package, NAME.json.
#include "codegen/package/Driver.h"

#include "runtime/include/lfm/tokenizer_format.h"
#include "targets/Tuning.h"

#include <fmt/format.h>

using namespace llvm;

namespace lfmc {

static uint64_t moduleBytes(mlir::ModuleOp module, StringRef name) {
  auto attribute = module->getAttrOfType<mlir::IntegerAttr>(name);
  return attribute ? attribute.getInt() : 0;
}

/// Of @prompt_end, 0 if there is none.
static int64_t promptRows(mlir::ModuleOp module) {
  mlir::Operation *end = module.lookupSymbol("prompt_end");
  return end ? end->getAttrOfType<mlir::IntegerAttr>("lfm2.max_tokens").getInt()
             : 0;
}

static ArenaInfo arenaOf(mlir::ModuleOp module) {
  auto decode = module.lookupSymbol("decode");
  auto attribute =
      decode ? decode->getAttrOfType<mlir::IntegerAttr>("kernel.arena_bytes")
             : nullptr;
  return {moduleBytes(module, "kernel.arena_bytes"),
          attribute ? uint64_t(attribute.getInt()) : 0};
}

ProgramInfo Compilation::programInfo(const PackedWeights &packed) const {
  const ModelConfig &config = checkpoint->config();
  ProgramInfo info;
  info.name = packageName;
  info.target = machine;
  info.compiler = compilerVersion();
  info.vocabSize = config.vocabSize;
  info.hiddenSize = config.hiddenSize;
  info.maxContext = maxContext;
  info.maxPrefill = maxPrefill;
  info.weightsId = packed.id;
  info.weightsBytes = packed.fileBytes;
  info.stateBytes = moduleBytes(*module, "lfm2.state_bytes");
  info.promptRows = promptRows(*module);
  info.arena = arenaOf(*module);
  info.states = stateTable(*module);
  info.experts = expertTable(config, *module);
  for (const Level &level : levels)
    info.levels.push_back({level.machine, arenaOf(*level.module)});
  info.bos = config.bos;
  info.pad = config.pad;
  info.eos = config.eos;
  info.sampling = config.sampling;
  info.tokenizer.assign(tokenizer.begin(), tokenizer.end());
  return info;
}

PackageFacts Compilation::facts() const {
  const ModelConfig &config = checkpoint->config();
  PackageFacts facts;
  facts.name = packageName;
  facts.compiler = compilerVersion();
  facts.version = LFMC_VERSION;
  facts.target = targetNames();
  if (machine->isHexagon())
    facts.arch = machine->cpu.substr(StringRef("hexagon").size()).str();
  facts.vtcmBytes = machine->vtcmBytes;
  facts.maxContext = maxContext;
  facts.model = fmt::format(
      "LFM2 with {} parameters: {} layers, hidden size {}, vocabulary {}.",
      config.parameterCount(), config.numLayers, config.hiddenSize,
      config.vocabSize);
  facts.hasTokenizer = !tokenizer.empty();
  if (tokenizer.size() >= sizeof(lfm_tokenizer_header)) {
    lfm_tokenizer_header header;
    std::memcpy(&header, tokenizer.data(), sizeof header);
    facts.hasChatTemplate = header.chat != 0;
  }
  return facts;
}

/// What `lfmc tune PKG` reads: each kernel, where its choices come from, and
/// its share of a decoded token's and of a prompt's cost.
Json Compilation::tuningJson() const {
  Json kernels = Json::array();
  for (const tune::Task &task : tasks) {
    auto origin = TuningTable::Origin::Preset;
    if (options.tuning)
      if (auto found = options.tuning->origins().find(task.kernel);
          found != options.tuning->origins().end())
        origin = found->second;
    const char *from = origin == TuningTable::Origin::Device   ? "device"
                       : origin == TuningTable::Origin::Family ? "family"
                                                               : "preset";
    kernels.push_back({{"kernel", task.kernel},
                       {"from", from},
                       {"share", Json::array({task.share[0], task.share[1]})}});
  }
  return kernels;
}

Json Compilation::manifest() const {
  const ModelConfig &config = checkpoint->config();
  uint64_t cacheBytes = 0;
  for (const StateInfo &state : stateTable(*module))
    cacheBytes += state.bytesPerToken;
  Expected<uint64_t> fileBytes = weightsFileBytes(*module);
  Json manifest = {
      {"lfmc", manifestVersion},
      {"name", packageName},
      {"compiler", compilerVersion()},
      {"model", modelJson(config)},
      {"target",
       {{"name", machine->name.str()},
        {"levels", levelsJson()},
        {"triple", machine->triple.str()},
        {"cpu", machine->cpu.str()},
        {"features", machine->features.str()}}},
      {"options",
       {{"weights", options.weights
                        ? lfm2::stringifyStoredKind(*options.weights).str()
                        : "as stored"},
        {"activations", options.bf16Rows ? "bf16" : "f32"},
        {"max_context", maxContext},
        {"max_prefill", maxPrefill},
        {"quantization", quantizationJson()}}},
      {"sizes",
       {{"weights_bytes", fileBytes ? *fileBytes : 0},
        {"state_bytes", moduleBytes(*module, "lfm2.state_bytes")},
        {"state_bytes_per_token", cacheBytes},
        {"arena_bytes", arenaOf(*module).bytes},
        {"decode_arena_bytes", arenaOf(*module).decodeBytes},
        {"vtcm_bytes", machine->vtcmBytes},
        {"tokenizer_bytes", tokenizer.size()}}},
      {"work", work}};
  if (!fileBytes)
    consumeError(fileBytes.takeError());
  if (!options.mix.is_null())
    manifest["mix"] = options.mix;
  if (!tasks.empty())
    manifest["tuning"] = tuningJson();
  manifest.update(programJson(*module));
  return manifest;
}

} // namespace lfmc

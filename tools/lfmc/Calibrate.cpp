// SPDX-License-Identifier: Apache-2.0
#include "tools/lfmc/Calibrate.h"

#include "frontend/Errors.h"
#include "passes/calibrate/ObserveInputs.h"
#include "tools/lfmc/Commands.h"
#include "tools/lfmc/ObservedReader.h"
#include "tools/lfmc/OwnText.h"
#include "tools/lfmc/Progress.h"

#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Parallel.h"
#include "llvm/Support/Path.h"

#include <algorithm>

using namespace llvm;

namespace lfmc::cli {
namespace {

using Tokens = std::vector<int32_t>;
using Reader = ObservedReader;
using Source = ObservedReader::Source;

// Of the rows that one thread keeps.
constexpr int64_t observedBytes = 256 << 20;
constexpr int64_t longest = 512, shortest = 32;

// Tokens of a sequence whose rows fit `observedBytes`.
int64_t sequenceLength(const ModelConfig &config) {
  int64_t sparse = config.numExpertLayers();
  int64_t width = config.numLayers * 3 * config.hiddenSize +
                  (config.numLayers - sparse) * config.ffnWidth +
                  sparse * config.expertsPerToken * config.expertWidth;
  int64_t length = longest;
  while (length > 128 && length * width * 4 > observedBytes)
    length /= 2;
  return std::min(length, config.maxPositionEmbeddings);
}

// A directory that goes with this object.
struct TemporaryDirectory {
  SmallString<128> path;
  ~TemporaryDirectory() {
    if (!path.empty())
      sys::fs::remove_directories(path);
  }
};

class Calibrator {
public:
  Calibrator(const CalibrationOptions &options) : options(options) {}

  Error open(const std::string &checkpoint);
  Expected<std::shared_ptr<const Calibration>> run();

private:
  Error findInputs();
  void findExperts(const Json &weight, Calibration::Input &input,
                   Source &source) const;
  Expected<std::vector<Tokens>> ownTokens(int64_t wanted);
  Expected<std::vector<Tokens>> textTokens(int64_t wanted);
  Error observe(ArrayRef<Tokens> sequences);

  const CalibrationOptions &options;
  Progress progress;
  uint64_t parameters = 0; // of a token
  int64_t length = 0;      // tokens of a sequence
  std::optional<Model> model;
  std::unique_ptr<sys::fs::mapped_file_region> weights;
  std::unique_ptr<Calibration> result;
  std::vector<Source> sources; // by input
};

Error Calibrator::open(const std::string &checkpoint) {
  Expected<Checkpoint> opened = Checkpoint::open(checkpoint);
  if (!opened)
    return opened.takeError();
  // What a token reads.
  ModelConfig active = opened->config();
  active.numExperts = active.expertsPerToken;
  parameters = active.parameterCount();
  length = sequenceLength(opened->config());
  CompileOptions compile;
  compile.checkpoint = checkpoint;
  compile.name = "observed";
  compile.observe = true;
  compile.maxContext = compile.maxPrefill = length;
  compile.jobs = options.jobs;
  compile.cacheDir = cacheDirectory() + "/kernels";
  compile.progress = [&](const char *stage, uint64_t done, uint64_t total) {
    progress.update(std::string("calibration: ") + stage, done, total);
  };
  Expected<std::unique_ptr<Compilation>> compilation =
      Compilation::open(compile);
  if (!compilation)
    return compilation.takeError();
  Expected<Installation> installation = Installation::find(executablePath());
  if (!installation)
    return installation.takeError();
  if (Error error = (*compilation)->lower())
    return error;
  TemporaryDirectory directory;
  sys::fs::createUniquePath(cacheDirectory() + "/calibration-%%%%%%%%",
                            directory.path, /*MakeAbsolute=*/false);
  if (Error error =
          (*compilation)
              ->writePackage(directory.path, /*force=*/true, *installation))
    return error;
  Expected<Model> loaded = openModel(directory.path);
  if (!loaded)
    return loaded.takeError();
  model = std::move(*loaded);
  Expected<sys::fs::file_t> file =
      sys::fs::openNativeFileForRead(model->weightsPath);
  if (!file)
    return file.takeError();
  std::error_code code;
  weights = std::make_unique<sys::fs::mapped_file_region>(
      *file, sys::fs::mapped_file_region::readonly, model->info.weights_bytes,
      0, code);
  sys::fs::closeFile(*file);
  if (code)
    return makeError("cannot map {}: {}", model->weightsPath, code.message());
  return findInputs();
}

// If `weight` stacks experts of the program's table, whose. A state's columns
// are those of all slots.
void Calibrator::findExperts(const Json &weight, Calibration::Input &input,
                             Source &source) const {
  const lfm_program &program = *model->program;
  const uint64_t offset = weight.at("offset");
  for (int32_t i = 0; i < program.expert_layers; ++i) {
    const lfm_experts_info &info = program.experts[i];
    input.ownRows = offset == info.down_offset;
    if (!input.ownRows && offset != info.up_offset)
      continue;
    source.experts = i;
    input.experts = info.count;
    input.columns = weight.at("shape")[1];
    input.expertRows = weight.at("shape")[0].get<int64_t>() / info.count /
                       (input.ownRows ? 1 : 2);
    return;
  }
}

// Every state that the observation declared, and the head, which reads the rows
// that @prefill returns.
Error Calibrator::findInputs() {
  std::vector<Calibration::Input> inputs;
  std::string prefix = observedState(""), head = "lm_head";
  const lfm_program &program = *model->program;
  auto add = [&](StringRef name, int64_t columns, int64_t offset) {
    Calibration::Input input = {name.str(), columns};
    Source source = {offset};
    for (const Json &weight : model->manifest.at("weights"))
      if (weight.at("name") == name.str())
        findExperts(weight, input, source);
    if (input.columns % 32) // no block divides it: it cannot be quantized
      return;
    inputs.push_back(std::move(input));
    sources.push_back(source);
  };
  for (int32_t i = 0; i < program.state_count; ++i) {
    const lfm_state_info &info = program.states[i];
    if (StringRef name = info.name; name.consume_front(prefix))
      add(name, int64_t(info.bytes) / (length * 4), int64_t(info.offset));
  }
  bool untied = llvm::any_of(model->manifest.at("weights"), [&](const Json &w) {
    return w.at("name") == head;
  });
  add(untied ? head : "embed", program.hidden_size, -1);
  Expected<std::unique_ptr<Calibration>> created =
      Calibration::create(std::move(inputs));
  if (!created)
    return created.takeError();
  result = std::move(*created);
  return Error::success();
}

Expected<std::vector<Tokens>> Calibrator::ownTokens(int64_t wanted) {
  return writeOwnText(*model, std::max<int64_t>(1, wanted / length), length,
                      /*firstSeed=*/0, [&](uint64_t done, uint64_t total) {
                        progress.update("calibration: writing", done, total);
                      });
}

Expected<std::vector<Tokens>> Calibrator::textTokens(int64_t wanted) {
  auto text = MemoryBuffer::getFile(options.textPath);
  if (!text)
    return makeError("cannot read {}: {}", options.textPath,
                     text.getError().message());
  Expected<Tokens> all = model->tokenize((*text)->getBuffer(), 0);
  if (!all)
    return all.takeError();
  int64_t size = int64_t(all->size());
  if (size < shortest)
    return makeError("{} has {} tokens, expected at least {} to calibrate with",
                     options.textPath, size, shortest);
  bool begin = model->info.bos >= 0;
  int64_t each = std::min(length - begin, size), pieces = size / each;
  int64_t count = std::clamp<int64_t>(wanted / length, 1, pieces);
  std::vector<Tokens> sequences(count);
  for (int64_t i = 0; i < count; ++i) {
    // Spread over the whole text.
    auto from = all->begin() + i * pieces / count * each;
    if (begin)
      sequences[i].push_back(model->info.bos);
    sequences[i].insert(sequences[i].end(), from, from + each);
  }
  return sequences;
}

Error Calibrator::observe(ArrayRef<Tokens> sequences) {
  size_t team = std::min<size_t>(parallel::strategy.compute_thread_count(),
                                 sequences.size());
  std::vector<Reader> readers(team);
  for (Reader &reader : readers)
    if (!reader.open(*model->program))
      return makeError("no memory to read a sequence of {} tokens", length);
  std::vector<std::pair<size_t, int64_t>> sums;
  for (size_t input = 0; input < sources.size(); ++input)
    for (int64_t part = 0; part < result->parts(input); ++part)
      sums.emplace_back(input, part);
  const auto *data = reinterpret_cast<const uint8_t *>(weights->const_data());
  for (size_t first = 0; first < sequences.size(); first += team) {
    progress.update("calibration: reading", first, sequences.size());
    size_t count = std::min(team, sequences.size() - first);
    parallelFor(0, count,
                [&](size_t i) { readers[i].read(sequences[first + i], data); });
    // In the order of the sequences, whatever the number of threads.
    parallelFor(0, sums.size(), [&](size_t i) {
      auto [input, part] = sums[i];
      for (size_t r = 0; r < count; ++r)
        readers[r].add(*result, input, part, sources[input]);
    });
  }
  for (const Tokens &tokens : sequences)
    result->tokens += int64_t(tokens.size());
  return Error::success();
}

Expected<std::shared_ptr<const Calibration>> Calibrator::run() {
  bool own = options.textPath.empty();
  int64_t wanted =
      options.tokens ? options.tokens : calibrationTokens(parameters, own);
  parallel::strategy = hardware_concurrency(options.jobs);
  Expected<std::vector<Tokens>> sequences =
      own ? ownTokens(wanted) : textTokens(wanted);
  if (!sequences)
    return sequences.takeError();
  if (Error error = observe(*sequences))
    return std::move(error);
  if (std::string weight = result->notFinite(); !weight.empty()) {
    if (own) // the model's fault: nothing to learn from
      return std::shared_ptr<const Calibration>();
    return makeError("calibration: what meets weight @{} is not finite",
                     weight);
  }
  result->text = own ? "self" : sys::path::filename(options.textPath).str();
  return std::shared_ptr<const Calibration>(std::move(result));
}

} // namespace

int64_t calibrationTokens(uint64_t parameters, bool ownText) {
  // A written token reads the model once, a given one shares that with others.
  double reads = ownText ? 5e11 : 5e12;
  return std::clamp<int64_t>(
      int64_t(reads / double(std::max<uint64_t>(parameters, 1))), longest,
      8192);
}

Expected<std::shared_ptr<const Calibration>>
calibrate(const std::string &checkpoint, const CalibrationOptions &options) {
  Calibrator calibrator(options);
  if (Error error = calibrator.open(checkpoint))
    return std::move(error);
  return calibrator.run();
}

Error chooseQuantizer(const CompileFlags &flags, CompileOptions &options) {
  if (options.quant.empty())
    return Error::success();
  // Rounding to nearest is all that 8 and 6 bits need, unless asked for more.
  bool fourBits = llvm::any_of(options.quant, [](StringRef scheme) {
    return scheme.substr(scheme.rfind('=') + 1).starts_with("q4");
  });
  bool measure =
      flags.calibrate != "none" &&
      (fourBits || !flags.quantizer.empty() || flags.calibrate != "auto");
  QuantizerChoice &choice = options.quantizer;
  choice.kind = measure ? QuantizerKind::Gptq : QuantizerKind::Nearest;
  for (QuantizerKind kind :
       {QuantizerKind::Nearest, QuantizerKind::Search, QuantizerKind::Gptq})
    if (flags.quantizer == quantizerName(kind))
      choice.kind = kind;
  if (choice.kind == QuantizerKind::Gptq && !measure)
    return makeError("the quantizer gptq needs --calibrate auto or a text");
  if (choice.kind == QuantizerKind::Nearest || !measure)
    return Error::success();
  if (flags.calibration) {
    choice.calibration = flags.calibration;
    return Error::success();
  }
  CalibrationOptions calibration;
  if (flags.calibrate != "auto")
    calibration.textPath = flags.calibrate;
  calibration.tokens = flags.calibrateTokens;
  calibration.jobs = flags.jobs;
  Expected<std::shared_ptr<const Calibration>> measured =
      calibrate(options.checkpoint, calibration);
  if (!measured)
    return measured.takeError();
  choice.calibration = std::move(*measured);
  if (!choice.calibration) {
    if (!flags.quantizer.empty())
      return makeError("calibration: the model computes values that are not "
                       "finite");
    choice.kind = QuantizerKind::Nearest;
    warn("not calibrated: the model computes values that are not "
         "finite; weights are rounded to nearest");
  }
  return Error::success();
}

} // namespace lfmc::cli

// SPDX-License-Identifier: Apache-2.0
#include "tools/lfmc/AutoQuant.h"

#include "codegen/package/Manifest.h"
#include "frontend/Errors.h"
#include "tools/lfmc/Calibrate.h"
#include "tools/lfmc/Progress.h"

#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/raw_ostream.h"

#include <chrono>

using namespace llvm;

namespace lfmc::cli {
namespace {

struct Kind {
  const char *name;
  pack::Blocks blocks;
};
// Fewer bytes first. q4m is left out: two bits more for fewer tensors have
// always been better than its minima.
constexpr Kind kinds[] = {
    {"q4/64", {64, 4, false}}, {"q4", {32, 4, false}},
    {"q6/64", {64, 6, false}}, {"q6", {32, 6, false}},
    {"q8", {32, 8, false}},
};

// Operations that measuring every tensor on its own may take, some minutes of
// two cores; above it, tensors of a role share their form in a quarter of the
// layers.
constexpr double fineOperations = 3e13;

class Chooser {
public:
  Chooser(const std::string &path, const CompileFlags &flags,
          const MixBudget &budget)
      : path(path), flags(flags), budget(budget) {
    // Measured here, whatever machine the package is for.
    this->flags.target = "host";
    this->flags.name.clear();
    this->flags.quant.clear();
  }

  Expected<MixReport> run();

private:
  Error open();
  Error lower(const CompileFlags &how, std::unique_ptr<Compilation> &result);
  void group(const Json &stored, bool fine);
  Error checkBytes();
  Error measure();
  Error readTokens();
  Error choose();
  Error verify();

  std::string path;
  CompileFlags flags;
  MixBudget budget;
  ModelConfig config;
  std::unique_ptr<Compilation> quantized; // outlives what measures by its plan
  std::unique_ptr<Sensitivity> sensitivity;
  std::optional<MixFrontier> frontier;
  MixReport report;
};

bool isQuantized(const Json &weight) {
  return weight.at("format").get<std::string>().starts_with("q");
}

// What tensors that share a form are called.
std::string groupName(const Json &weight, int64_t layers, bool fine) {
  std::string name = weight.at("name"), role = weight.at("group");
  int64_t layer = layerOf(name);
  if (fine || layer < 0)
    return name;
  int64_t quarter = layer * 4 / layers;
  return fmt::format(
      "{}.{} of layers {}-{}", role, name.substr(name.find('.') + 1),
      (quarter * layers + 3) / 4, ((quarter + 1) * layers + 3) / 4 - 1);
}

void Chooser::group(const Json &stored, bool fine) {
  StringMap<size_t> places;
  int64_t layers = config.numLayers;
  report.groups.clear();
  report.fixedBytes = 0;
  for (const Json &weight : stored) {
    uint64_t bytes = weight.at("bytes");
    if (weight.at("group").is_null()) {
      if (!weight.at("sources").empty())
        report.fixedBytes += bytes;
      continue;
    }
    std::string name = groupName(weight, layers, fine);
    auto [place, isNew] = places.try_emplace(name, report.groups.size());
    if (isNew)
      report.groups.emplace_back().name = name;
    MixReport::Group &group = report.groups[place->second];
    int64_t rows = weight.at("shape")[0], columns = weight.at("shape")[1];
    group.weights.push_back(weight.at("name"));
    group.elements += uint64_t(rows * columns);
    std::vector<MixReport::Form> forms;
    for (const Kind &kind : kinds)
      if (columns % kind.blocks.block == 0)
        forms.push_back(
            {kind.name, uint64_t(rows * kind.blocks.bytes(columns)), {}});
    forms.push_back({"keep", bytes, {}});
    // The forms that all of the group's tensors can take.
    if (isNew)
      group.forms = forms;
    llvm::erase_if(group.forms, [&](MixReport::Form &form) {
      auto same = llvm::find_if(forms, [&](const MixReport::Form &other) {
        return other.kind == form.kind;
      });
      if (same == forms.end())
        return true;
      form.bytes += isNew ? 0 : same->bytes;
      return false;
    });
  }
}

Error Chooser::lower(const CompileFlags &how,
                     std::unique_ptr<Compilation> &result) {
  Expected<CompileOptions> options = how.options(path);
  if (!options)
    return options.takeError();
  options->remark = {};
  if (Error error = chooseQuantizer(how, *options))
    return error;
  report.calibration = options->quantizer.calibration;
  Expected<std::unique_ptr<Compilation>> opened = Compilation::open(*options);
  if (!opened)
    return opened.takeError();
  result = std::move(*opened);
  return result->lower();
}

Error Chooser::open() {
  Expected<Checkpoint> opened = Checkpoint::open(path);
  if (!opened)
    return opened.takeError();
  config = opened->config();
  std::unique_ptr<Compilation> asStored;
  if (Error error = lower(flags, asStored))
    return error;
  Json manifest = asStored->manifest();
  const Json &stored = manifest.at("weights");
  CompileFlags plain = flags, small = flags;
  if (llvm::any_of(stored, isQuantized)) // GGUF: values, not codes
    plain.weights = "f32";
  // Says for all weights how they are quantized; channels are scaled.
  small.quant = {"q4/32"}; // not the recipe that q4 alone is
  if (Error error = lower(small, quantized))
    return error;
  flags.calibration = report.calibration;
  Expected<std::string> package = packageOf(path, plain);
  if (!package)
    return package.takeError();
  Expected<std::vector<pack::PlannedWeight>> plan = quantized->plan();
  if (!plan)
    return plan.takeError();
  Expected<std::unique_ptr<Sensitivity>> made = Sensitivity::open(
      *package, std::move(*plan), quantized->tensors(), int(flags.jobs));
  if (!made)
    return made.takeError();
  sensitivity = std::move(*made);
  report.model = sensitivity->model().info.name;
  if (Error error = readTokens())
    return error;
  const Json &work = manifest.at("work");
  double operations = work.at("prefill_flops_per_token").get<double>() +
                      work.at("head_flops_per_row").get<double>();
  group(stored, /*fine=*/true);
  if (operations * double(report.tokens) * double(report.groups.size()) *
          double(std::size(kinds)) >
      fineOperations)
    group(stored, /*fine=*/false);
  return Error::success();
}

// Enough that the order of the groups is right, fewer for large models.
int64_t tokensFor(const ModelConfig &config) {
  constexpr double operations = 4e11;
  double each = 2.0 * double(config.parameterCount());
  return std::clamp<int64_t>(int64_t(operations / each) / 256 * 256, 256, 1024);
}

Error Chooser::readTokens() {
  const Model &model = sensitivity->model();
  int64_t wanted =
      flags.calibrateTokens ? flags.calibrateTokens : tokensFor(config);
  int64_t length = std::min(512, model.info.max_context);
  Expected<TokenRuns> runs = TokenRuns();
  if (flags.calibrate == "auto" || flags.calibrate == "none") {
    report.text = "self";
    runs = sampleRuns(model, wanted, length, int(flags.jobs));
  } else {
    report.text = sys::path::filename(flags.calibrate).str();
    auto text = MemoryBuffer::getFile(flags.calibrate);
    if (!text)
      return makeError("cannot read {}: {}", flags.calibrate,
                       text.getError().message());
    runs =
        textRuns(model, (*text)->getBuffer(), flags.calibrate, wanted, length);
  }
  if (!runs)
    return runs.takeError();
  if (Error error = sensitivity->setReference(std::move(*runs)))
    return error;
  report.tokens = sensitivity->positions();
  return Error::success();
}

// Before anything is measured.
Error Chooser::checkBytes() {
  uint64_t least = report.fixedBytes;
  for (const MixReport::Group &group : report.groups)
    least += llvm::min_element(group.forms, [](const auto &a, const auto &b) {
               return a.bytes < b.bytes;
             })->bytes;
  if (budget.bytes && *budget.bytes < least)
    return makeError("--target-bytes {} cannot be met: the tensors of {} take "
                     "at least {} bytes, {} of them in no blocks",
                     *budget.bytes, path, least, report.fixedBytes);
  return Error::success();
}

Error Chooser::measure() {
  size_t total = 0, done = 0;
  for (const MixReport::Group &group : report.groups)
    total += group.forms.size() - 1;
  errs() << fmt::format("lfmc: measuring {} forms of {} groups of tensors with "
                        "{} tokens\n",
                        total, report.groups.size(), report.tokens);
  auto start = std::chrono::steady_clock::now();
  Progress progress;
  for (MixReport::Group &group : report.groups)
    for (MixReport::Form &form : group.forms) {
      if (form.kind == "keep")
        continue;
      const Kind &kind = *llvm::find_if(
          kinds, [&](const Kind &kind) { return kind.name == form.kind; });
      Expected<Change> change =
          sensitivity->measure(group.weights, kind.blocks);
      if (!change)
        return change.takeError();
      form.change = *change;
      progress.update("measured", ++done, total);
      std::chrono::duration<double> passed =
          std::chrono::steady_clock::now() - start;
      if (done == 3 && passed.count() * double(total) > 30)
        errs() << fmt::format("lfmc: this takes about {:.0f} s\n",
                              passed.count() / double(done) * double(total));
    }
  std::vector<MixGroup> groups;
  for (const MixReport::Group &group : report.groups)
    for (MixGroup &choices = groups.emplace_back();
         const MixReport::Form &form : group.forms)
      choices.push_back({form.bytes, form.change.topK});
  frontier.emplace(groups);
  report.curve = frontier->points();
  for (MixChoice &point : report.curve)
    point.bytes += report.fixedBytes;
  return Error::success();
}

Error Chooser::verify() {
  CompileFlags mixed = flags;
  mixed.quant = report.schemes();
  Expected<std::string> package = packageOf(path, mixed);
  if (!package)
    return package.takeError();
  Expected<Model> model = openModel(*package);
  if (!model)
    return model.takeError();
  Expected<Change> change = sensitivity->measure(*model);
  if (!change)
    return change.takeError();
  report.measured = *change;
  return Error::success();
}

Error Chooser::choose() {
  auto take = [&](size_t point) {
    std::vector<size_t> choices = frontier->choices(point);
    for (size_t i = 0; i < choices.size(); ++i)
      report.groups[i].chosen = choices[i];
    return verify();
  };
  if (budget.bytes)
    return take(*frontier->within(*budget.bytes - report.fixedBytes));
  // What groups add up to is not quite what they cost together, and activations
  // in 8 bits cost something, too.
  double limit = *budget.kl;
  constexpr int attempts = 6;
  for (int attempt = 0; attempt < attempts; ++attempt) {
    std::optional<size_t> point = frontier->below(limit);
    if (!point)
      break;
    if (Error error = take(*point))
      return error;
    if (report.measured.topK <= *budget.kl)
      return Error::success();
    limit = 0.98 * report.predicted().topK * *budget.kl / report.measured.topK;
  }
  return makeError(
      "--max-kl {} cannot be met: {} bytes of tensors diverge by {:.3g} "
      "nats",
      *budget.kl, report.bytes(), report.measured.topK);
}

Expected<MixReport> Chooser::run() {
  report.targetBytes = budget.bytes;
  report.maxKl = budget.kl;
  for (auto step : {&Chooser::open, &Chooser::checkBytes, &Chooser::measure,
                    &Chooser::choose})
    if (Error error = (this->*step)())
      return std::move(error);
  return std::move(report);
}

} // namespace

Expected<MixReport> chooseMix(const std::string &checkpoint,
                              const CompileFlags &flags,
                              const MixBudget &budget) {
  return Chooser(checkpoint, flags, budget).run();
}

} // namespace lfmc::cli

// SPDX-License-Identifier: Apache-2.0
#include "tools/lfmc/Cache.h"

#include "codegen/Codegen.h"
#include "codegen/tune/Database.h"
#include "frontend/Errors.h"
#include "tools/lfmc/Calibrate.h"
#include "tools/lfmc/Commands.h"
#include "tools/lfmc/Progress.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/Process.h"
#include "llvm/Support/xxhash.h"

#include <unistd.h>

using namespace llvm;

namespace lfmc::cli {

std::string cacheDirectory() {
  if (auto given = sys::Process::GetEnv("LFMC_CACHE_DIR"))
    return *given;
  if (auto base = sys::Process::GetEnv("XDG_CACHE_HOME"))
    return *base + "/lfmc";
  if (auto home = sys::Process::GetEnv("HOME"))
    return *home + "/.cache/lfmc";
  SmallString<64> temporary;
  sys::path::system_temp_directory(/*ErasedOnReboot=*/false, temporary);
  return fmt::format("{}/lfmc-{}", temporary.str().str(), ::getuid());
}

static std::string hex(XXH128_hash_t hash) {
  return fmt::format("{:016x}{:016x}", hash.high64, hash.low64);
}

// Contents of a file, or of a large one what changes when it is written again.
static Expected<std::string> fileIdentity(const std::string &path) {
  constexpr uint64_t whole = 64 << 20, step = 1 << 20, sample = 4096;
  sys::fs::file_status status;
  if (std::error_code code = sys::fs::status(path, status))
    return makeError("cannot read {}: {}", path, code.message());
  auto file = MemoryBuffer::getFile(path, /*IsText=*/false,
                                    /*RequiresNullTerminator=*/false);
  if (!file)
    return makeError("cannot read {}: {}", path, file.getError().message());
  ArrayRef<uint8_t> bytes = arrayRefFromStringRef((*file)->getBuffer());
  if (bytes.size() <= whole)
    return hex(xxh3_128bits(bytes));
  std::string identity =
      fmt::format("{} {}", bytes.size(),
                  status.getLastModificationTime().time_since_epoch().count());
  for (uint64_t at = 0; at < bytes.size(); at += step)
    identity += hex(xxh3_128bits(
        bytes.slice(at, std::min<uint64_t>(sample, bytes.size() - at))));
  return hex(xxh3_128bits(arrayRefFromStringRef(identity)));
}

Expected<std::string> checkpointFingerprint(StringRef directory) {
  if (!sys::fs::is_directory(directory))
    return fileIdentity(directory.str());
  std::vector<std::string> paths;
  std::error_code code;
  for (sys::fs::directory_iterator it(directory, code), end; it != end && !code;
       it.increment(code)) {
    StringRef name = sys::path::filename(it->path());
    if (name.ends_with(".json") || name.ends_with(".jinja") ||
        name.ends_with(".safetensors"))
      paths.push_back(it->path());
  }
  if (code)
    return makeError("cannot read {}: {}", directory.str(), code.message());
  llvm::sort(paths);
  std::string all;
  for (const std::string &path : paths) {
    Expected<std::string> identity = fileIdentity(path);
    if (!identity)
      return identity.takeError();
    all += sys::path::filename(path).str() + " " + *identity + "\n";
  }
  return hex(xxh3_128bits(arrayRefFromStringRef(all)));
}

std::string tuningDatabasePath() {
  if (auto given = sys::Process::GetEnv("LFMC_TUNING_DB"))
    return *given;
  return cacheDirectory() + "/tuning.sqlite";
}

Expected<std::shared_ptr<const TuningTable>> CompileFlags::tuning() const {
  std::shared_ptr<const TuningTable> none;
  if (tunedFor == "none")
    return none;
  auto levels = findTargets(target, isa);
  if (!levels)
    return levels.takeError();
  const Target &machine = *levels->back(); // chooses the layouts
  if (tunedFor == "auto" && !runsOnHost(machine))
    return none;
  Expected<std::vector<TuningRecord>> records =
      parseRecords(shippedRecords(), "shipped records");
  if (!records)
    return records.takeError();
  if (const std::string path = tuningDatabasePath(); sys::fs::exists(path)) {
    Expected<tune::Database> database = tune::Database::open(path, true);
    if (!database)
      return database.takeError();
    Expected<std::vector<TuningRecord>> own = database->records();
    if (!own)
      return own.takeError();
    records->insert(records->end(), own->begin(), own->end());
  }
  return std::make_shared<const TuningTable>(
      *records, machine, tunedFor == "auto" ? cpuModel() : tunedFor,
      kernelVersion());
}

Expected<CompileOptions>
CompileFlags::options(const std::string &checkpoint) const {
  CompileOptions options;
  options.checkpoint = checkpoint;
  options.target = target;
  options.isa = isa;
  options.name = name;
  if (!kvCache.empty())
    options.cache = lfm2::symbolizeStoredKind(kvCache);
  options.bf16Rows = activations == "bf16";
  options.maxContext = maxContext;
  options.maxPrefill = maxPrefill;
  options.jobs = jobs;
  options.cacheDir = cacheDirectory() + "/kernels";
  options.remark = warn;
  Expected<std::shared_ptr<const TuningTable>> table = tuning();
  if (!table)
    return table.takeError();
  options.tuning = *table;
  if (!weights.empty()) {
    options.weights = lfm2::symbolizeStoredKind(weights);
    if (!options.weights)
      return makeError("expected --weights f32, bf16 or f16, found {}",
                       inQuotes(weights));
  }
  if (llvm::is_contained(quant, "auto"))
    return makeError("--quant auto chooses when a package is compiled: it "
                     "belongs to lfmc compile, alone, with --target-bytes or "
                     "--max-kl");
  options.quant = quant;
  // One word is a recipe: a head with two bits more costs little and saves
  // most.
  if (quant.size() == 1 && (quant[0] == "q4" || quant[0] == "q4m"))
    options.quant.push_back("head=q6");
  return options;
}

static Expected<std::unique_ptr<Compilation>>
lowered(const CompileOptions &options) {
  Expected<std::unique_ptr<Compilation>> compilation =
      Compilation::open(options);
  if (compilation)
    if (Error error = (*compilation)->lower())
      return error;
  return compilation;
}

// Places a package for these options in the cache unless it is there.
static Expected<std::string> compileCached(const std::string &path,
                                           const CompileFlags &flags) {
  Expected<std::string> fingerprint = checkpointFingerprint(path);
  if (!fingerprint)
    return fingerprint.takeError();
  Expected<CompileOptions> options = flags.options(path);
  if (!options)
    return options.takeError();
  auto targets = findTargets(flags.target, flags.isa);
  if (!targets)
    return targets.takeError();
  std::string names;
  for (const Target *target : *targets)
    names += target->name.str() + " ";
  Expected<std::string> compiler = fileIdentity(executablePath());
  if (!compiler)
    return compiler.takeError();
  std::string text = flags.calibrate;
  if (text != "auto" && text != "none") {
    Expected<std::string> contents = fileIdentity(text);
    if (!contents)
      return contents.takeError();
    text = *contents;
  }
  std::string key = fmt::format(
      "{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}",
      compilerVersion(), *compiler, *fingerprint, names, flags.weights,
      flags.maxContext, flags.maxPrefill, fmt::join(flags.quant, ","),
      flags.kvCache, text, flags.calibrateTokens, flags.quantizer,
      flags.activations, options->tuning ? options->tuning->fingerprint() : "");
  std::string place =
      cacheDirectory() + "/packages/" +
      hex(xxh3_128bits(arrayRefFromStringRef(key))).substr(0, 24);
  if (Expected<Json> manifest = readManifest(place))
    return place;
  else
    consumeError(manifest.takeError());
  if (Error error = chooseQuantizer(flags, *options))
    return error;
  Progress progress;
  options->progress = [&](const char *stage, uint64_t done, uint64_t total) {
    progress.update(stage, done, total);
  };
  Expected<Installation> installation = Installation::find(executablePath());
  if (!installation)
    return installation.takeError();
  Expected<std::unique_ptr<Compilation>> compilation = lowered(*options);
  if (!compilation)
    return compilation.takeError();
  if (Error error =
          (*compilation)->writePackage(place, /*force=*/true, *installation))
    return error;
  return place;
}

Expected<std::string> packageOf(const std::string &path,
                                const CompileFlags &flags) {
  if (isCheckpoint(path))
    return compileCached(path, flags);
  Expected<Json> manifest = readManifest(path);
  if (manifest)
    return path;
  return makeError("expected a package, or a checkpoint (a directory with "
                   "config.json, or a GGUF file): {}",
                   toString(manifest.takeError()));
}

std::vector<std::string> levelOf(const std::string &path,
                                 const CompileFlags &flags) {
  return isCheckpoint(path) ? std::vector<std::string>() : flags.isa;
}

Expected<Json> manifestOf(const std::string &model, const CompileFlags &flags) {
  if (!isCheckpoint(model))
    return readManifest(model);
  Expected<CompileOptions> options = flags.options(model);
  if (!options)
    return options.takeError();
  Expected<std::unique_ptr<Compilation>> compilation = lowered(*options);
  if (!compilation)
    return compilation.takeError();
  return (*compilation)->manifest();
}

} // namespace lfmc::cli

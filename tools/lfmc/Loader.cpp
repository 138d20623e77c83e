// SPDX-License-Identifier: Apache-2.0
#include "tools/lfmc/Loader.h"

#include "frontend/Errors.h"
#include "tools/lfmc/Cache.h"

#include <CLI/CLI.hpp>

#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/Program.h"
#include "llvm/Support/xxhash.h"
#include "llvm/TargetParser/Host.h"
#include "llvm/TargetParser/Triple.h"

#include <chrono>
#include <dlfcn.h>

using namespace llvm;

namespace lfmc::cli {
namespace {

// A linker that takes ld's options, and the options in front of them.
Expected<std::vector<std::string>> findLinker() {
  for (const char *name : {"ld.lld-22", "ld.lld", "ld"})
    if (auto path = sys::findProgramByName(name))
      return std::vector<std::string>{*path};
  return makeError(
      "cannot run a package: found no linker (ld.lld-22, ld.lld or "
      "ld) in PATH");
}

// Links the program alone, without the runtime in the library: nothing of the
// package refers to it.
Error linkShared(const std::string &library, const std::string &symbol,
                 const std::string &output) {
  Expected<std::vector<std::string>> linker = findLinker();
  if (!linker)
    return linker.takeError();
  std::string exports = output + ".map", log = output + ".log";
  std::error_code code;
  {
    raw_fd_ostream out(exports, code);
    if (!code)
      out << "{ global: " << symbol << "; local: *; };\n";
  }
  if (code)
    return makeError("cannot write {}: {}", exports, code.message());
  std::vector<std::string> arguments = *linker;
  for (const std::string &argument :
       {std::string("-shared"), std::string("-u"), symbol,
        "--version-script=" + exports, std::string("--gc-sections"),
        std::string("-z"), std::string("noexecstack"), std::string("-o"),
        output, library})
    arguments.push_back(argument);
  SmallVector<StringRef> references(arguments.begin(), arguments.end());
  std::optional<StringRef> redirects[] = {StringRef(""), StringRef(log),
                                          StringRef(log)};
  std::string message;
  int status = sys::ExecuteAndWait(arguments[0], references, std::nullopt,
                                   redirects, 0, 0, &message);
  if (auto text = MemoryBuffer::getFile(log))
    message += (*text)->getBuffer();
  sys::fs::remove(exports);
  sys::fs::remove(log);
  if (status == 0)
    return Error::success();
  return makeError("cannot link {}: {} failed: {}", library, arguments[0],
                   StringRef(message).trim().str());
}

Expected<std::string> sharedObject(const std::string &library,
                                   const std::string &symbol) {
  auto file = MemoryBuffer::getFile(library, /*IsText=*/false,
                                    /*RequiresNullTerminator=*/false);
  if (!file)
    return makeError("cannot read {}: {}", library, file.getError().message());
  XXH128_hash_t hash =
      xxh3_128bits(arrayRefFromStringRef((*file)->getBuffer()));
  std::string folder = cacheDirectory() + "/linked";
  std::string place =
      fmt::format("{}/{:016x}{:016x}.so", folder, hash.high64, hash.low64);
  if (sys::fs::exists(place))
    return place;
  if (std::error_code code = sys::fs::create_directories(folder))
    return makeError(
        "cannot create {} (set LFMC_CACHE_DIR to another place): {}", folder,
        code.message());
  SmallString<128> temporary;
  sys::fs::createUniquePath(place + ".%%%%%%%%.tmp", temporary,
                            /*MakeAbsolute=*/false);
  std::string output = temporary.str().str();
  if (Error error = linkShared(library, symbol, output)) {
    sys::fs::remove(output);
    return error;
  }
  if (std::error_code code = sys::fs::rename(output, place))
    return makeError("cannot write {}: {}", place, code.message());
  return place;
}

} // namespace

Expected<const lfm_program *> loadProgram(StringRef package,
                                          const Json &manifest) {
  std::string name = manifest.at("name").get<std::string>();
  const Json &target = manifest.at("target");
  const Triple made(target.at("triple").get<std::string>());
  const Triple here(sys::getProcessTriple());
  if (made.getArch() != here.getArch() || made.getOS() != here.getOS() ||
      made.isAndroid() != here.isAndroid())
    return makeError("package {}: compiled for {} ({}), this machine is {}; "
                     "lfmc verify and lfmc bench take a --runner",
                     package.str(), target.at("name").get<std::string>(),
                     made.str(), here.str());
  std::string symbol = name + "_program";
  Expected<std::string> object =
      sharedObject((package + "/lib" + name + ".a").str(), symbol);
  if (!object)
    return object.takeError();
  // Never closed: programs live as long as the process.
  void *library = dlopen(object->c_str(), RTLD_NOW | RTLD_LOCAL);
  void *program = library ? dlsym(library, symbol.c_str()) : nullptr;
  if (!program)
    return makeError("cannot load {}: {}", *object, dlerror());
  return static_cast<const lfm_program *>(program);
}

// Keeps to one level of the program's.
static Error chooseLevel(Model &model, ArrayRef<std::string> isa) {
  const lfm_program &worst = *model.program;
  std::string names;
  for (int32_t i = -1; i < worst.level_count; ++i) {
    const lfm_program &level = i < 0 ? worst : *worst.levels[i];
    names += (names.empty() ? "" : ", ") + std::string(level.target);
    if (isa.size() == 1 && StringRef(level.target).ends_with("-" + isa[0])) {
      model.level = std::make_unique<lfm_program>(level);
      model.level->levels = nullptr;
      model.level->level_count = 0;
      model.program = model.level.get();
      return Error::success();
    }
  }
  return makeError("--isa {}: expected one level of the package, which has {}",
                   join(isa, ","), names);
}

Expected<Model>
openModel(StringRef package, uint32_t flags,
          function_ref<const lfm_program *(const lfm_program &)> replace,
          ArrayRef<std::string> isa, uint32_t expertMib) {
  Model model;
  Expected<Json> manifest = readManifest(package);
  if (!manifest)
    return manifest.takeError();
  model.manifest = std::move(*manifest);
  Expected<const lfm_program *> program = loadProgram(package, model.manifest);
  if (!program)
    return program.takeError();
  model.program = *program;
  if (!isa.empty())
    if (Error error = chooseLevel(model, isa))
      return error;
  if (replace)
    // The manifest describes the best level.
    model.program =
        replace(model.program->level_count ? *model.program->levels[0]
                                           : *model.program);
  model.weightsPath =
      (package + "/" + model.manifest.at("name").get<std::string>() +
       ".weights")
          .str();
  auto start = std::chrono::steady_clock::now();
  lfm_model_options options = {};
  options.flags = flags;
  options.expert_mib = expertMib;
  if (expertMib && !model.program->expert_layers)
    return makeError("--expert-mib {}: model {} has no experts, or its target "
                     "has no kernels for them",
                     expertMib, model.program->name);
  lfm_model *handle = nullptr;
  char message[512] = "";
  lfm_status status =
      lfm_model_open(model.program, model.weightsPath.c_str(), &options,
                     &handle, message, sizeof message);
  if (status != LFM_OK)
    return makeError("{}", message[0] ? message : lfm_status_string(status));
  model.handle.reset(handle);
  lfm_model_get_info(handle, &model.info);
  model.openSeconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start)
          .count();
  return model;
}

CLI::Option *addExpertMib(CLI::App &command, uint32_t &mebibytes) {
  return command
      .add_option("--expert-mib", mebibytes,
                  "keep at most so many MiB of experts in memory, those last "
                  "used (all that the system keeps)")
      ->check(CLI::Range(1u, uint32_t(1) << 30));
}

Expected<std::vector<int32_t>> Model::tokenize(StringRef text,
                                               uint32_t flags) const {
  if (!tokenizer())
    return makeError("the package {} has no tokenizer",
                     manifest.at("name").get<std::string>());
  std::vector<int32_t> tokens(text.size() + 16);
  size_t count = 0;
  lfm_status status = lfm_tokenize(tokenizer(), text.data(), text.size(), flags,
                                   tokens.data(), tokens.size(), &count);
  if (status != LFM_OK)
    return makeError("cannot tokenize: {}", lfm_status_string(status));
  tokens.resize(count);
  return tokens;
}

Expected<Session> createSession(const Model &model, int threads) {
  lfm_session_options options = {};
  options.threads = threads;
  lfm_session *handle = nullptr;
  char message[512] = "";
  lfm_status status = lfm_session_create(model.handle.get(), &options, &handle,
                                         message, sizeof message);
  if (status != LFM_OK)
    return makeError("{}", message[0] ? message : lfm_status_string(status));
  Session session;
  session.handle.reset(handle);
  return session;
}

Error Session::check(lfm_status status) const {
  if (status == LFM_OK)
    return Error::success();
  const char *message = lfm_session_message(handle.get());
  return makeError("{}", message[0] ? message : lfm_status_string(status));
}

} // namespace lfmc::cli

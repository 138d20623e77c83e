// SPDX-License-Identifier: Apache-2.0
#include "codegen/package/Package.h"

#include "codegen/package/Archive.h"
#include "codegen/package/Symbols.h"
#include "frontend/Errors.h"
#include "frontend/Json.h"

#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"
#include "llvm/TargetParser/Triple.h"

using namespace llvm;

namespace lfmc {

Expected<Installation> Installation::find(StringRef executable) {
  SmallString<128> real;
  if (std::error_code code = sys::fs::real_path(executable, real))
    return makeError("cannot find {}: {}", executable.str(), code.message());
  std::string root = sys::path::parent_path(sys::path::parent_path(real)).str();
  Installation found{root + "/lib/liblfm_runtime.a", root + "/include/lfm",
                     root + "/lib/lfm/hexagon", root + "/share/lfmc/runtime"};
  if (!sys::fs::exists(found.runtimeLibrary)) {
    found.runtimeLibrary = root + "/" LFMC_LIBDIR "/liblfm_runtime.a";
    found.hexagon = root + "/" LFMC_LIBDIR "/lfm/hexagon";
  }
  if (!sys::fs::exists(found.runtimeLibrary))
    return makeError("lfmc's installation is incomplete: there is no {}",
                     found.runtimeLibrary);
  if (!sys::fs::exists(found.headers + "/lfm.h"))
    return makeError("lfmc's installation is incomplete: there is no {}/lfm.h",
                     found.headers);
  return found;
}

std::string Installation::runtimeOf(const Target &target) const {
  if (target.system.empty())
    return runtimeLibrary;
  StringRef lib = sys::path::parent_path(runtimeLibrary);
  std::string library = (lib + "/" + target.system + "/liblfm_runtime.a").str();
  return sys::fs::exists(library) ? library : "";
}

// The runtime's sources, for the toolchain of the user's application.
static Error copySources(StagedDirectory &directory, StringRef sources) {
  std::error_code code;
  bool any = false;
  for (sys::fs::recursive_directory_iterator it(sources, code), end;
       it != end && !code; it.increment(code)) {
    if (it->type() == sys::fs::file_type::directory_file)
      continue;
    StringRef relative = StringRef(it->path()).drop_front(sources.size() + 1);
    auto contents = MemoryBuffer::getFile(it->path());
    if (!contents)
      return makeError("cannot read {}: {}", it->path(),
                       contents.getError().message());
    if (Error error = directory.write(("runtime/" + relative).str(),
                                      (*contents)->getBuffer()))
      return error;
    any = true;
  }
  if (code || !any)
    return makeError("lfmc's installation is incomplete: cannot read {}{}",
                     sources.str(), code ? ": " + code.message() : "");
  return Error::success();
}

// The headers that applications include; what only lfmc and the runtime share
// stays here.
static Error copyHeaders(StagedDirectory &directory, StringRef headers) {
  std::error_code code;
  for (sys::fs::directory_iterator it(headers, code), end; it != end && !code;
       it.increment(code)) {
    StringRef name = sys::path::filename(it->path());
    bool header = name.ends_with(".h") || name.ends_with(".hpp");
    if (!header || name == "program.h" || name == "tokenizer_format.h" ||
        name == "npu.h")
      continue;
    auto contents = MemoryBuffer::getFile(it->path());
    if (!contents)
      return makeError("cannot read {}: {}", it->path(),
                       contents.getError().message());
    if (Error error =
            directory.write(("lfm/" + name).str(), (*contents)->getBuffer()))
      return error;
  }
  if (code)
    return makeError("cannot read {}: {}", headers.str(), code.message());
  return Error::success();
}

// What an application on a CPU links and includes.
static Error writeParts(StagedDirectory &directory, PackageContents &contents,
                        const Installation &installation) {
  PackageFacts &facts = contents.facts;
  const std::string &name = facts.name;
  const std::string runtime = installation.runtimeOf(*contents.target);
  facts.runtimeSources = runtime.empty();
  facts.android = Triple(contents.target->triple).isAndroid();
  if (Error error = hideSymbols(contents.objects, name))
    return error;
  if (contents.target->isApple())
    if (Error error =
            setMinimumVersions(contents.objects, contents.target->triple))
      return error;
  Expected<std::string> library = directory.file("lib" + name + ".a");
  if (!library)
    return library.takeError();
  if (Error error = writeLibrary(*library, contents.objects, runtime,
                                 contents.target->isApple()))
    return error;
  if (facts.runtimeSources)
    if (Error error = copySources(directory, installation.sources))
      return error;
  if (Error error = copyHeaders(directory, installation.headers))
    return error;
  std::vector<std::pair<std::string, std::string>> texts = {
      {name + ".h", headerText(facts)},
      {"main.cpp", exampleText(facts)},
      {"lib/cmake/" + name + "/" + name + "Config.cmake",
       cmakeConfigText(facts)},
      {"lib/cmake/" + name + "/" + name + "ConfigVersion.cmake",
       cmakeVersionText(facts)}};
  if (!facts.runtimeSources) // else there is nothing to link before it is built
    texts.push_back({"lib/pkgconfig/" + name + ".pc", pkgConfigText(facts)});
  for (const auto &[path, text] : texts)
    if (Error error = directory.write(path, text))
      return error;
  return Error::success();
}

Error writePackage(StagedDirectory &directory, PackageContents contents,
                   const Installation &installation) {
  const std::string name = contents.facts.name;
  const bool npu = contents.target->isHexagon();
  if (Error error = (npu ? writeHexagonParts : writeParts)(directory, contents,
                                                           installation))
    return error;
  Json files = directory.files();
  files.push_back(name + ".json");
  contents.manifest["files"] = files;
  return directory.write(name + ".json", manifestText(contents.manifest));
}

Expected<Json> readManifest(StringRef directory) {
  std::string found;
  std::error_code code;
  for (sys::fs::directory_iterator it(directory, code), end; it != end && !code;
       it.increment(code)) {
    StringRef path = it->path();
    StringRef stem = sys::path::stem(path);
    // A package's manifest has its library beside it.
    if (path.ends_with(".json") &&
        sys::fs::exists(directory + "/lib" + stem + ".a"))
      found = path.str();
  }
  if (code)
    return makeError("cannot read {}: {}", directory.str(), code.message());
  if (found.empty())
    return makeError("{} is no package of lfmc: there is no NAME.json with a "
                     "libNAME.a",
                     directory.str());
  constexpr uint64_t maxBytes = 256 << 20;
  Expected<nlohmann::json> parsed = readJsonFile(found, maxBytes);
  if (!parsed)
    return parsed.takeError();
  if (!parsed->is_object() || !parsed->contains("lfmc") ||
      !(*parsed)["lfmc"].is_number_integer())
    return makeError("{}: expected a manifest of lfmc (key \"lfmc\")", found);
  if ((*parsed)["lfmc"] != manifestVersion)
    return makeError(
        "{}: expected version {} of the manifest, found {}; compile "
        "the checkpoint again",
        found, manifestVersion, (*parsed)["lfmc"].dump());
  if (!parsed->contains("name") || !(*parsed)["name"].is_string() ||
      (*parsed)["name"] != sys::path::stem(found).str())
    return makeError("{}: expected the name {}", found,
                     sys::path::stem(found).str());
  return Json(*parsed);
}

} // namespace lfmc

// SPDX-License-Identifier: Apache-2.0
#include "codegen/package/Archive.h"
#include "codegen/package/Package.h"
#include "codegen/package/Symbols.h"
#include "frontend/Errors.h"

#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Program.h"

using namespace llvm;

namespace lfmc {

Expected<std::string> readInstalled(const Twine &path) {
  auto contents = MemoryBuffer::getFile(path);
  if (!contents)
    return makeError("lfmc's installation is incomplete: cannot read {}: {}",
                     path.str(), contents.getError().message());
  return (*contents)->getBuffer().str();
}

Expected<std::string> findHexagonLinker() {
  for (const char *name : {"ld.lld-22", "ld.lld"})
    if (ErrorOr<std::string> path = sys::findProgramByName(name))
      return *path;
  return makeError("no linker for Hexagon: found no ld.lld-22 and no ld.lld in "
                   "PATH; install lld");
}

// Calls within it are its own, whoever loads it beside another package's.
static Error linkSharedObject(const std::string &library,
                              const std::string &name,
                              const std::string &output) {
  Expected<std::string> linker = findHexagonLinker();
  if (!linker)
    return linker.takeError();
  const std::string log = output + ".log", soname = "lib" + name + ".so";
  const StringRef arguments[] = {*linker,
                                 "-shared",
                                 "-Bsymbolic",
                                 "--gc-sections",
                                 "--hash-style=both",
                                 "-z",
                                 "text",
                                 "-z",
                                 "defs",
                                 "-z",
                                 "noexecstack",
                                 "-soname",
                                 soname,
                                 "-o",
                                 output,
                                 "--whole-archive",
                                 library};
  const std::optional<StringRef> redirects[] = {StringRef(""), StringRef(log),
                                                StringRef(log)};
  std::string message;
  int status = sys::ExecuteAndWait(*linker, arguments, std::nullopt, redirects,
                                   0, 0, &message);
  if (auto text = MemoryBuffer::getFile(log))
    message += (*text)->getBuffer();
  sys::fs::remove(log);
  return status == 0 ? Error::success()
                     : makeError("cannot link {}: {}: {}", soname, *linker,
                                 StringRef(message).trim().str());
}

Error writeHexagonParts(StagedDirectory &directory, PackageContents &contents,
                        const Installation &installation) {
  const PackageFacts &facts = contents.facts;
  Expected<std::string> builtins =
      readInstalled(installation.hexagon + "/builtins.o");
  if (!builtins)
    return builtins.takeError();
  contents.objects.push_back(
      {"builtins.o", SmallVector<char, 0>(builtins->begin(), builtins->end())});
  if (Error error = checkSelfContained(contents.objects, facts.target))
    return error;
  if (Error error = hideSymbols(contents.objects, facts.name))
    return error;
  Expected<std::string> library = directory.file("lib" + facts.name + ".a");
  if (!library)
    return library.takeError();
  if (Error error = writeLibrary(*library, contents.objects,
                                 installation.hexagon + "/liblfm_npu.a",
                                 /*darwin=*/false))
    return error;
  Expected<std::string> shared = directory.file("lib" + facts.name + ".so");
  if (!shared)
    return shared.takeError();
  if (Error error = linkSharedObject(*library, facts.name, *shared))
    return error;
  for (const char *header : {"npu.h", "program.h", "status.h"}) {
    Expected<std::string> text =
        readInstalled(installation.headers + "/" + header);
    if (!text)
      return text.takeError();
    if (Error error = directory.write(std::string("lfm/") + header, *text))
      return error;
  }
  const std::pair<const char *, std::string> sources[] = {
      {"README.md.in", "README.md"},
      {"lfm_npu_rpc.idl", "device/lfm_npu_rpc.idl"},
      {"lfm_npu_threads.h", "device/lfm_npu_threads.h"},
      {"skel.c.in", "device/" + facts.name + "_skel.c"},
      {"device.h.in", "device/" + facts.name + "_device.h"},
      {"device.c.in", "device/" + facts.name + "_device.c"}};
  for (const auto &[from, to] : sources) {
    Expected<std::string> text =
        readInstalled(installation.hexagon + "/device/" + from);
    if (!text)
      return text.takeError();
    if (Error error = directory.write(to, filledText(text->c_str(), facts)))
      return error;
  }
  return directory.write(facts.name + ".h", npuHeaderText(facts));
}

} // namespace lfmc

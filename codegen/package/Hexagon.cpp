// SPDX-License-Identifier: Apache-2.0
#include "codegen/package/Archive.h"
#include "codegen/package/Package.h"
#include "codegen/package/Symbols.h"
#include "frontend/Errors.h"

#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"

using namespace llvm;

namespace lfmc {

Expected<std::string> readInstalled(const Twine &path) {
  auto contents = MemoryBuffer::getFile(path);
  if (!contents)
    return makeError("lfmc's installation is incomplete: cannot read {}: {}",
                     path.str(), contents.getError().message());
  return (*contents)->getBuffer().str();
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
  for (const char *header : {"npu.h", "program.h"}) {
    Expected<std::string> text =
        readInstalled(installation.headers + "/" + header);
    if (!text)
      return text.takeError();
    if (Error error = directory.write(std::string("lfm/") + header, *text))
      return error;
  }
  const std::pair<const char *, std::string> sources[] = {
      {"lfm_npu_rpc.idl", "lfm_npu_rpc.idl"},
      {"lfm_npu_threads.h", "lfm_npu_threads.h"},
      {"skel.c.in", facts.name + "_skel.c"},
      {"device.h.in", facts.name + "_device.h"},
      {"device.c.in", facts.name + "_device.c"}};
  for (const auto &[from, to] : sources) {
    Expected<std::string> text =
        readInstalled(installation.hexagon + "/device/" + from);
    if (!text)
      return text.takeError();
    if (Error error =
            directory.write("device/" + to, filledText(text->c_str(), facts)))
      return error;
  }
  return directory.write(facts.name + ".h", npuHeaderText(facts));
}

} // namespace lfmc

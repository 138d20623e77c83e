// SPDX-License-Identifier: Apache-2.0
#include "codegen/package/Archive.h"

#include "frontend/Errors.h"

#include "llvm/Object/Archive.h"
#include "llvm/Object/ArchiveWriter.h"

using namespace llvm;

namespace lfmc {

static Error addRuntime(object::Archive &archive,
                        std::vector<NewArchiveMember> &members) {
  Error error = Error::success();
  for (const object::Archive::Child &child : archive.children(error)) {
    Expected<NewArchiveMember> member =
        NewArchiveMember::getOldMember(child, /*Deterministic=*/true);
    if (!member)
      return joinErrors(std::move(error), member.takeError());
    members.push_back(std::move(*member));
  }
  return error;
}

Error writeLibrary(StringRef path, ArrayRef<ObjectFile> objects,
                   StringRef runtime, bool darwin) {
  std::vector<NewArchiveMember> members;
  for (const ObjectFile &object : objects)
    members.emplace_back(MemoryBufferRef(
        StringRef(object.bytes.data(), object.bytes.size()), object.name));
  std::unique_ptr<MemoryBuffer> buffer;
  std::unique_ptr<object::Archive> archive;
  if (!runtime.empty()) {
    auto file = MemoryBuffer::getFile(runtime, /*IsText=*/false,
                                      /*RequiresNullTerminator=*/false);
    if (!file)
      return makeError("cannot read the runtime {}: {}", runtime.str(),
                       file.getError().message());
    buffer = std::move(*file);
    auto opened = object::Archive::create(buffer->getMemBufferRef());
    if (!opened)
      return makeError("{}: {}", runtime.str(), toString(opened.takeError()));
    archive = std::move(*opened);
    if (archive->isThin())
      return makeError(
          "{}: expected an archive with its members inside, found a "
          "thin one",
          runtime.str());
    if (Error error = addRuntime(*archive, members))
      return makeError("{}: {}", runtime.str(), toString(std::move(error)));
  }
  if (Error error = writeArchive(path, members, SymtabWritingMode::NormalSymtab,
                                 darwin ? object::Archive::K_DARWIN
                                        : object::Archive::K_GNU,
                                 /*Deterministic=*/true,
                                 /*Thin=*/false))
    return makeError("cannot write {}: {}", path.str(),
                     toString(std::move(error)));
  return Error::success();
}

} // namespace lfmc

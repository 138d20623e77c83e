// SPDX-License-Identifier: Apache-2.0
#include "codegen/package/Symbols.h"

#include "frontend/Errors.h"

#include "llvm/ADT/StringSet.h"
#include "llvm/ObjCopy/ConfigManager.h"
#include "llvm/ObjCopy/ObjCopy.h"
#include "llvm/Object/ELFObjectFile.h"
#include "llvm/Object/MachO.h"
#include "llvm/Support/Endian.h"
#include "llvm/TargetParser/Triple.h"

using namespace llvm;

namespace lfmc {
namespace {

Expected<std::unique_ptr<object::ObjectFile>>
openObject(const ObjectFile &object) {
  return object::ObjectFile::createObjectFile(MemoryBufferRef(
      StringRef(object.bytes.data(), object.bytes.size()), object.name));
}

// Names that `object` defines for other objects, or those that it wants.
enum class Names { Defined, Undefined };
Error collect(const ObjectFile &object, Names which, StringSet<> &names) {
  auto opened = openObject(object);
  if (!opened)
    return opened.takeError();
  for (const object::SymbolRef &symbol : (*opened)->symbols()) {
    Expected<uint32_t> flags = symbol.getFlags();
    if (!flags)
      return flags.takeError();
    bool undefined = *flags & object::SymbolRef::SF_Undefined;
    if (undefined != (which == Names::Undefined) ||
        !(*flags & object::SymbolRef::SF_Global))
      continue;
    Expected<StringRef> name = symbol.getName();
    if (!name)
      return name.takeError();
    names.insert(*name);
  }
  return Error::success();
}

Error rewrite(ObjectFile &object, const objcopy::ConfigManager &config) {
  auto opened = openObject(object);
  if (!opened)
    return opened.takeError();
  SmallVector<char, 0> bytes;
  raw_svector_ostream stream(bytes);
  if (Error error = objcopy::executeObjcopyOnBinary(config, **opened, stream))
    return error;
  object.bytes = std::move(bytes);
  return Error::success();
}

// What ELF calls hidden: a private external of a Mach-O object.
Error hidePrivate(ObjectFile &object, StringRef kept) {
  auto opened = openObject(object);
  if (!opened)
    return opened.takeError();
  auto *file = dyn_cast<object::MachOObjectFile>(opened->get());
  if (!file)
    return Error::success();
  for (const object::SymbolRef &symbol : file->symbols()) {
    object::DataRefImpl place = symbol.getRawDataRefImpl();
    Expected<StringRef> name = symbol.getName();
    if (!name)
      return name.takeError();
    const uint8_t type = file->getSymbol64TableEntry(place).n_type;
    if (*name == kept || !(type & MachO::N_EXT) ||
        (type & MachO::N_TYPE) == MachO::N_UNDF)
      continue;
    size_t at = reinterpret_cast<const char *>(place.p) - object.bytes.data();
    object.bytes[at + offsetof(MachO::nlist_64, n_type)] |= MachO::N_PEXT;
  }
  return Error::success();
}

Error hide(objcopy::ConfigManager &config, StringRef name) {
  Expected<objcopy::NameOrPattern> pattern = objcopy::NameOrPattern::create(
      name, objcopy::MatchStyle::Literal, [](Error error) { return error; });
  if (!pattern)
    return pattern.takeError();
  objcopy::NameMatcher matcher;
  if (Error error = matcher.addMatcher(std::move(pattern)))
    return error;
  config.ELF.SymbolsToSetVisibility.emplace_back(std::move(matcher),
                                                 uint8_t(ELF::STV_HIDDEN));
  return Error::success();
}

// The oldest system that Mach-O objects say they run on, major.minor.patch in
// 16, 8 and 8 bits.
Error setMinimumVersion(ObjectFile &object, uint32_t version) {
  auto opened = openObject(object);
  if (!opened)
    return opened.takeError();
  auto *file = dyn_cast<object::MachOObjectFile>(opened->get());
  if (!file)
    return makeError("expected Mach-O");
  for (const auto &command : file->load_commands())
    if (command.C.cmd == MachO::LC_BUILD_VERSION)
      support::endian::write32le(
          object.bytes.data() + (command.Ptr - file->getData().data()) +
              offsetof(MachO::build_version_command, minos),
          version);
  return Error::success();
}

} // namespace

Error setMinimumVersions(std::vector<ObjectFile> &objects, StringRef triple) {
  const VersionTuple wanted = Triple(triple).getOSVersion();
  const uint32_t version =
      wanted.getMajor() << 16 | wanted.getMinor().value_or(0) << 8;
  for (ObjectFile &object : objects)
    if (Error error = setMinimumVersion(object, version))
      return makeError("object {}: {}", object.name,
                       toString(std::move(error)));
  return Error::success();
}

Error hideSymbols(std::vector<ObjectFile> &objects, const std::string &name) {
  StringSet<> defined;
  for (const ObjectFile &object : objects)
    if (Error error = collect(object, Names::Defined, defined))
      return makeError("object {}: {}", object.name,
                       toString(std::move(error)));
  // C names start with an underscore in Mach-O.
  const bool apple = defined.contains("_" + name + "_program");
  std::string prefix = (apple ? "_" : "") + name + "_";
  StringSet<> renamed; // keeps the texts that the config refers to
  objcopy::ConfigManager config;
  for (const auto &entry : defined) {
    StringRef symbol = entry.getKey();
    if (symbol == prefix + "program")
      continue;
    if (!apple)
      if (Error error = hide(config, symbol))
        return error;
    if (symbol.starts_with(prefix))
      continue;
    StringRef fresh = renamed.insert((prefix + symbol.drop_front(apple)).str())
                          .first->getKey();
    config.Common.SymbolsToRename[symbol] = fresh;
    if (!apple)
      if (Error error = hide(config, fresh))
        return error;
  }
  for (ObjectFile &object : objects) {
    Error error = rewrite(object, config);
    if (!error)
      error = hidePrivate(object, prefix + "program");
    if (error)
      return makeError("object {}: {}", object.name,
                       toString(std::move(error)));
  }
  return Error::success();
}

Error checkSelfContained(const std::vector<ObjectFile> &objects,
                         const std::string &target) {
  StringSet<> defined;
  for (const ObjectFile &object : objects)
    if (Error error = collect(object, Names::Defined, defined))
      return makeError("object {}: {}", object.name,
                       toString(std::move(error)));
  for (const ObjectFile &object : objects) {
    StringSet<> wanted;
    if (Error error = collect(object, Names::Undefined, wanted))
      return makeError("object {}: {}", object.name,
                       toString(std::move(error)));
    for (const auto &entry : wanted)
      // The linker's own tables are no library's.
      if (!entry.getKey().empty() && !defined.contains(entry.getKey()) &&
          entry.getKey() != "_GLOBAL_OFFSET_TABLE_")
        return makeError("object {} calls {}, which target {} has not",
                         object.name, entry.getKey().str(), target);
  }
  return Error::success();
}

} // namespace lfmc

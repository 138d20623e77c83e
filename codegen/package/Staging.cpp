// SPDX-License-Identifier: Apache-2.0
#include "codegen/package/Package.h"

#include "codegen/package/Interrupt.h"
#include "frontend/Errors.h"

#include "llvm/ADT/StringSet.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/raw_ostream.h"

#include <cstdio>
#include <fcntl.h>

using namespace llvm;

namespace lfmc {
namespace {

bool isEmptyDirectory(StringRef path) {
  std::error_code code;
  sys::fs::directory_iterator it(path, code), end;
  return !code && it == end;
}

// The first file below `directory` that the manifest does not list, or "".
std::string foreignFile(StringRef directory, const Json &manifest) {
  StringSet<> known;
  if (manifest.contains("files") && manifest["files"].is_array())
    for (const Json &name : manifest["files"])
      if (name.is_string())
        known.insert(name.get<std::string>());
  std::error_code code;
  for (sys::fs::recursive_directory_iterator it(directory, code), end;
       it != end && !code; it.increment(code)) {
    if (it->type() == sys::fs::file_type::directory_file)
      continue;
    StringRef relative = StringRef(it->path()).drop_front(directory.size());
    relative.consume_front("/");
    if (!known.contains(relative))
      return relative.str();
  }
  return "";
}

bool isInside(StringRef path, StringRef directory) {
  SmallString<128> inner, outer;
  if (sys::fs::real_path(path, inner) || sys::fs::real_path(directory, outer))
    return false;
  return inner == outer || (inner.starts_with(outer) &&
                            (outer == "/" || inner[outer.size()] == '/'));
}

Error checkReplaceable(StringRef path, bool force) {
  sys::fs::file_status status;
  if (sys::fs::status(path, status) ||
      status.type() == sys::fs::file_type::file_not_found)
    return Error::success();
  if (status.type() != sys::fs::file_type::directory_file)
    return makeError("{} exists and is no directory", path.str());
  if (isEmptyDirectory(path))
    return Error::success();
  SmallString<128> current;
  if (!sys::fs::current_path(current) && isInside(current, path))
    return makeError("{} is the working directory or above it: choose another "
                     "place for the package",
                     path.str());
  if (force)
    return Error::success();
  Expected<Json> manifest = readManifest(path);
  if (!manifest) {
    consumeError(manifest.takeError());
    return makeError("{} exists and is no package: choose another place, or "
                     "replace it by --force",
                     path.str());
  }
  std::string foreign = foreignFile(path, *manifest);
  if (!foreign.empty())
    return makeError(
        "package {} contains {}, which is not lfmc's: choose another "
        "place, or replace all by --force",
        path.str(), inQuotes(foreign));
  return Error::success();
}

} // namespace

Error StagedDirectory::createFolder(StringRef path) {
  if (path == stage || sys::fs::is_directory(path))
    return Error::success(); // the stage is made once: a handler removes it
  if (Error error = createFolder(sys::path::parent_path(path)))
    return error;
  if (std::error_code code = sys::fs::create_directory(
          path, /*IgnoreExisting=*/true, sys::fs::perms::all_all))
    return makeError("cannot create {}: {}", path.str(), code.message());
  return Error::success();
}

Expected<StagedDirectory> StagedDirectory::create(StringRef path, bool force) {
  while (path.size() > 1 && path.ends_with("/"))
    path = path.drop_back();
  if (Error error = checkReplaceable(path, force))
    return error;
  SmallString<128> absolute(path);
  if (std::error_code code = sys::fs::make_absolute(absolute))
    return makeError("{}: {}", path.str(), code.message());
  sys::path::remove_dots(absolute, /*remove_dot_dot=*/true);
  StringRef parent = sys::path::parent_path(absolute);
  if (std::error_code code =
          sys::fs::create_directories(parent, true, sys::fs::perms::all_all))
    return makeError("cannot create {}: {}", parent.str(), code.message());
  StagedDirectory result;
  result.target = std::string(absolute);
  SmallString<128> stage;
  do {
    sys::fs::createUniquePath(absolute + ".%%%%%%%%%%%%.tmp", stage,
                              /*MakeAbsolute=*/false);
  } while (sys::fs::exists(stage));
  result.stage = std::string(stage);
  if (std::error_code code = createTransient(stage))
    return makeError("cannot create {}: {}", stage.str().str(), code.message());
  return result;
}

StagedDirectory::StagedDirectory(StagedDirectory &&other)
    : target(std::move(other.target)), stage(std::move(other.stage)),
      names(std::move(other.names)) {
  other.stage.clear();
}

StagedDirectory::~StagedDirectory() {
  if (stage.empty())
    return;
  sys::fs::remove_directories(stage);
  InterruptLock lock;
  forgetTransient();
}

Expected<std::string> StagedDirectory::file(StringRef relative) {
  std::string path = stage + "/" + relative.str();
  if (Error error = createFolder(sys::path::parent_path(path)))
    return error;
  names.push_back(relative.str());
  return path;
}

Error StagedDirectory::write(StringRef relative, StringRef contents) {
  Expected<std::string> path = file(relative);
  if (!path)
    return path.takeError();
  std::error_code code;
  raw_fd_ostream out(*path, code);
  if (!code) {
    out << contents;
    out.close();
    code = out.error();
    out.clear_error();
  }
  if (code)
    return makeError("cannot write {}: {}", *path, code.message());
  return Error::success();
}

Error StagedDirectory::commit() {
  InterruptLock lock;
  if (::rename(stage.c_str(), target.c_str()) == 0) {
    forgetTransient();
    stage.clear();
    return Error::success();
  }
#ifdef RENAME_EXCHANGE
  // What was there gets the stage's name, and the destructor removes it.
  if (::renameat2(AT_FDCWD, stage.c_str(), AT_FDCWD, target.c_str(),
                  RENAME_EXCHANGE) == 0)
    return Error::success();
#endif
  std::string old = stage + ".old";
  if (::rename(target.c_str(), old.c_str()) ||
      ::rename(stage.c_str(), target.c_str())) {
    std::error_code code(errno, std::generic_category());
    ::rename(old.c_str(), target.c_str());
    return makeError("cannot replace {}: {}", target, code.message());
  }
  renameTransient(old);
  stage = old;
  return Error::success();
}

} // namespace lfmc

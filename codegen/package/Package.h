// SPDX-License-Identifier: Apache-2.0
//
// The package directory: written beside its place, moved there when complete.
#ifndef LFMC_CODEGEN_PACKAGE_PACKAGE_H
#define LFMC_CODEGEN_PACKAGE_PACKAGE_H

#include "codegen/package/Manifest.h"
#include "codegen/package/Texts.h"

namespace lfmc {

/// The parts of lfmc's installation that go into packages.
struct Installation {
  std::string runtimeLibrary; ///< liblfm_runtime.a of this machine
  std::string headers; ///< directory with the runtime's headers, "…/lfm"
  std::string hexagon; ///< directory with what goes to the NPU
  std::string sources; ///< directory with the runtime's src/ and include/

  /// The prebuilt runtime of a target; empty: there is none, the package
  /// carries the sources.
  std::string runtimeOf(const Target &target) const;

  /// Looks below the parent of the directory of the program `executable`:
  /// lib/liblfm_runtime.a, lib/lfm/hexagon, include/lfm and
  /// share/lfmc/runtime.
  static llvm::Expected<Installation> find(llvm::StringRef executable);
};

/// A directory that will become `path`. Until commit() it has another name
/// beside it; it is removed when this object dies or, after
/// leaveOnInterrupts(), a signal ends the process. One at a time.
class StagedDirectory {
public:
  /// Checks that `path` may be replaced: it is absent, empty, or a package in
  /// which nothing but the package's own files lies. `force` allows any
  /// directory that holds no directory the process works in.
  static llvm::Expected<StagedDirectory> create(llvm::StringRef path,
                                                bool force);
  StagedDirectory(StagedDirectory &&other);
  ~StagedDirectory();

  /// Path of a file in it that will be written; creates the folders above.
  llvm::Expected<std::string> file(llvm::StringRef relative);
  /// Writes a whole file.
  llvm::Error write(llvm::StringRef relative, llvm::StringRef contents);
  /// All files announced so far, relative.
  const std::vector<std::string> &files() const { return names; }

  /// Puts the directory in its place, at once where the system can exchange
  /// names.
  llvm::Error commit();

private:
  StagedDirectory() = default;
  llvm::Error createFolder(llvm::StringRef path);

  std::string target, stage;
  std::vector<std::string> names;
};

/// What writePackage puts beside the weights, which are in the directory
/// already (as NAME.weights).
struct PackageContents {
  PackageFacts facts;
  const Target *target = nullptr;
  std::vector<ObjectFile> objects;
  Json manifest; ///< "files" is added
};

/// The path of the linker that makes shared objects and programs for Hexagon.
llvm::Expected<std::string> findHexagonLinker();

/// The same for the NPU: its libraries, headers and sources for the SDK. Private
/// to codegen/package.
llvm::Error writeHexagonParts(StagedDirectory &directory,
                              PackageContents &contents,
                              const Installation &installation);

/// Writes library, header, example, build-system files and manifest. Does not
/// commit.
llvm::Error writePackage(StagedDirectory &directory, PackageContents contents,
                         const Installation &installation);

/// The manifest of the package in `directory`. The error says what is missing.
llvm::Expected<Json> readManifest(llvm::StringRef directory);

} // namespace lfmc

#endif // LFMC_CODEGEN_PACKAGE_PACKAGE_H

// SPDX-License-Identifier: Apache-2.0
#ifndef LFMC_CODEGEN_PACKAGE_SYMBOLS_H
#define LFMC_CODEGEN_PACKAGE_SYMBOLS_H

#include "codegen/Codegen.h"

namespace lfmc {

/// Makes the objects of a package private to it: every symbol that they define,
/// NAME_program apart, becomes hidden and starts with "NAME_". Packages of
/// several models or targets then go into one program, kernels of the same name
/// included.
llvm::Error hideSymbols(std::vector<ObjectFile> &objects,
                        const std::string &name);

/// Lets all of an Apple target's objects say that they run on the system that
/// `triple` ("arm64-apple-ios15.0") names: Halide writes a version of its own,
/// and linkers warn of objects for newer systems than the application's.
llvm::Error setMinimumVersions(std::vector<ObjectFile> &objects,
                               llvm::StringRef triple);

/// An error if the objects need a symbol that none of them defines: packages
/// for `target` call no library.
llvm::Error checkSelfContained(const std::vector<ObjectFile> &objects,
                               const std::string &target);

} // namespace lfmc

#endif // LFMC_CODEGEN_PACKAGE_SYMBOLS_H

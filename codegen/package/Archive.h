// SPDX-License-Identifier: Apache-2.0
#ifndef LFMC_CODEGEN_PACKAGE_ARCHIVE_H
#define LFMC_CODEGEN_PACKAGE_ARCHIVE_H

#include "codegen/Codegen.h"

namespace lfmc {

/// Writes the static library `path` with `objects` and all members of the
/// archive `runtime` (empty: none); `darwin`: with the index that Apple's linker
/// reads. Deterministic: no dates, no owners.
llvm::Error writeLibrary(llvm::StringRef path,
                         llvm::ArrayRef<ObjectFile> objects,
                         llvm::StringRef runtime, bool darwin);

} // namespace lfmc

#endif // LFMC_CODEGEN_PACKAGE_ARCHIVE_H

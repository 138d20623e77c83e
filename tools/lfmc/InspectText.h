// SPDX-License-Identifier: Apache-2.0
#ifndef LFMC_TOOLS_LFMC_INSPECTTEXT_H
#define LFMC_TOOLS_LFMC_INSPECTTEXT_H

#include "codegen/package/Manifest.h"

namespace lfmc::cli {

/// A manifest for people: graph, weights and kernels by layer, memory, a map of
/// the arena of `function` with one line per phase (24 unless `full`),
/// coverage.
std::string inspectText(const Json &manifest, const std::string &function,
                        bool full);

} // namespace lfmc::cli

#endif // LFMC_TOOLS_LFMC_INSPECTTEXT_H

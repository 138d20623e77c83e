// SPDX-License-Identifier: Apache-2.0
//
// How many tokens of the calibration each expert has seen, as a package's
// manifest says.
#ifndef LFMC_TOOLS_LFMC_EXPERTCOVERAGE_H
#define LFMC_TOOLS_LFMC_EXPERTCOVERAGE_H

#include "codegen/package/Manifest.h"

namespace lfmc::cli {

/// One line for all layers. `quantization` is the manifest's
/// options.quantization; "" if it says nothing of experts.
std::string coverageSummary(const Json &quantization);

/// A line for each layer, or "".
std::string coverageTable(const Json &quantization);

} // namespace lfmc::cli

#endif // LFMC_TOOLS_LFMC_EXPERTCOVERAGE_H

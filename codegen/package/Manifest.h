// SPDX-License-Identifier: Apache-2.0
//
// NAME.json: what a package is, for tools and people.
//
// Keys: "lfmc" (version of this format), "name", "compiler", "model", "target",
// "options", "checkpoint", "sizes", "weights_id", "weights", "states",
// "kernels", "functions", "work", "files"; "tuning": where the choice of each
// kernel that can be tuned is from. Bytes and offsets are numbers of
// bytes; shapes outermost dimension first.
#ifndef LFMC_CODEGEN_PACKAGE_MANIFEST_H
#define LFMC_CODEGEN_PACKAGE_MANIFEST_H

#include "codegen/package/Descriptor.h"
#include "mlir/IR/BuiltinOps.h"

#include <nlohmann/json.hpp>

namespace lfmc {

using Json = nlohmann::ordered_json;

/// Version of the format, the value of the key "lfmc".
inline constexpr int manifestVersion = 1;

/// "model": the numbers of the config.
Json modelJson(const ModelConfig &config);

/// "weights", "states", "kernels", "functions" of a module on which the
/// planning passes have run.
Json programJson(mlir::ModuleOp module);

/// "work", from the module before kernel selection: bytes that a decoded token
/// reads, floating-point operations of a prompt's token.
Json workJson(mlir::ModuleOp module);

/// The states of a planned module, for the descriptor.
std::vector<StateInfo> stateTable(mlir::ModuleOp module);

/// The layers whose experts lie in panels, by layer, in a planned module.
std::vector<ExpertsInfo> expertTable(const ModelConfig &config,
                                     mlir::ModuleOp module);

/// "<layer>" of a symbol such as "l12.in_proj", or -1.
int64_t layerOf(llvm::StringRef symbol);

/// Writes JSON so that people can read it: tables one row a line.
std::string manifestText(const Json &manifest);

} // namespace lfmc

#endif // LFMC_CODEGEN_PACKAGE_MANIFEST_H

// SPDX-License-Identifier: Apache-2.0
//
// The dialects that lfmc's tools and passes work with.
#ifndef LFMC_DIALECTS_REGISTER_H
#define LFMC_DIALECTS_REGISTER_H

namespace mlir {
class DialectRegistry;
} // namespace mlir

namespace lfmc {

/// Registers lfm2, kernel and the upstream dialects that appear between import
/// and LLVM IR, with their bufferization models. Translation to LLVM IR is not
/// part of it: the code generators register that themselves.
void registerLfmcDialects(mlir::DialectRegistry &registry);

} // namespace lfmc

#endif // LFMC_DIALECTS_REGISTER_H

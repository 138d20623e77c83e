// SPDX-License-Identifier: Apache-2.0
//
// The weights and states that an imported model declares.
#ifndef LFMC_FRONTEND_IMPORTSYMBOLS_H
#define LFMC_FRONTEND_IMPORTSYMBOLS_H

#include "frontend/ImportLfm2.h"

#include "mlir/IR/Builders.h"
#include "llvm/ADT/STLFunctionalExtras.h"
#include "llvm/ADT/StringMap.h"

#include <fmt/format.h>

namespace lfmc {

/// Element format that loses nothing of these tensors of the checkpoint, given
/// by canonical names.
using KindOf =
    llvm::function_ref<lfm2::StoredKind(llvm::ArrayRef<std::string> tensors)>;

/// Symbol of a layer's weight or state: "l3.in_proj".
std::string layerSymbol(int64_t layer, llvm::StringRef name);

/// Declares the weights and states of a model at the end of `module` and
/// remembers them.
class ImportSymbols {
public:
  struct State {
    std::string symbol;
    mlir::RankedTensorType type;
  };

  ImportSymbols(mlir::ModuleOp module, const ModelConfig &config, KindOf kindOf,
                const ImportOptions &options);

  /// Type and location of the weight `symbol`, which must exist.
  mlir::RankedTensorType weightType(llvm::StringRef symbol) const {
    return types.lookup(symbol);
  }
  mlir::Location weightLoc(llvm::StringRef symbol) const {
    return locs.find(symbol)->second;
  }
  /// In the order of the functions' arguments.
  llvm::ArrayRef<State> states() const { return stateList; }

private:
  void matrix(std::string symbol, std::string tensor, int64_t rows,
              int64_t columns) {
    stack(std::move(symbol), tensor, rows, columns);
  }
  /// A matrix made of several, by rows.
  void stack(std::string symbol, llvm::ArrayRef<std::string> tensors,
             int64_t rows, int64_t columns);
  void small(std::string symbol, std::string tensor,
             llvm::ArrayRef<int64_t> shape);
  void weight(std::string symbol, llvm::ArrayRef<std::string> tensors,
              llvm::ArrayRef<int64_t> shape, lfm2::StoredKind kind);
  void declareWeights();
  void declareLayer(int64_t layer);
  void declareExperts(int64_t layer);
  void declareStates();
  void state(int64_t layer, llvm::StringRef name, mlir::RankedTensorType type,
             bool perToken);

  const ModelConfig &config;
  const ImportOptions &options;
  KindOf kindOf;
  mlir::OpBuilder builder;
  llvm::StringMap<mlir::RankedTensorType> types;
  llvm::StringMap<mlir::Location> locs;
  std::vector<State> stateList;
};

} // namespace lfmc

#endif // LFMC_FRONTEND_IMPORTSYMBOLS_H

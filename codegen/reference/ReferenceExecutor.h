// SPDX-License-Identifier: Apache-2.0
//
// Runs functions of lfm2 modules, fused or not, in this process: expands them
// to linalg, compiles that with LLVM and calls it. The oracle of lfmc's own
// tests: whatever a pass or kernel computes must equal this.
#ifndef LFMC_CODEGEN_REFERENCE_REFERENCEEXECUTOR_H
#define LFMC_CODEGEN_REFERENCE_REFERENCEEXECUTOR_H

#include "codegen/reference/HostTensor.h"
#include "dialects/lfm2/Lfm2.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"
#include "llvm/ADT/FunctionExtras.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/Support/Error.h"

#include <map>
#include <memory>

namespace lfmc {

/// Executes functions of one module. Compiles a function when it is first
/// called (a second for a small model) and reads a weight when it is first
/// needed. Not thread-safe.
class ReferenceExecutor {
public:
  /// Fills `values`, row-major, with the values of `weight` in f32. What a
  /// format of 16 bits cannot hold must be rounded to it already.
  using ReadWeight = llvm::unique_function<llvm::Error(
      lfm2::WeightOp weight, llvm::MutableArrayRef<float> values)>;

  /// What a call gives: the results of the function, and tapped values by name.
  struct Results {
    std::vector<HostTensor> outputs;
    std::map<std::string, HostTensor> taps;
  };

  /// `module` must live as long as the executor, which reads it and leaves it
  /// as it is. `read` may be null if no weights are used. Loads dialects into
  /// the module's context.
  explicit ReferenceExecutor(mlir::ModuleOp module, ReadWeight read = nullptr);
  ~ReferenceExecutor();

  /// Asks for intermediate values. A name is that of a location: an op carries
  /// name N if its location is a NameLoc N, or fused of several of which the
  /// last is (fusions list the op that gives the value last); of several ops
  /// the last counts ("model.layers.3" is the residual stream after layer 3).
  /// Names that a function does not have are missing from its results. Before
  /// the first run() only.
  void setTaps(std::vector<std::string> names);

  /// Calls `function` with one input per argument; inputs are not changed.
  /// Errors: no such function, inputs that do not fit its type, IR that has no
  /// expansion, weights that cannot be read. Positions and token ids are not
  /// checked here, nor is room in caches: see ReferenceModel.
  llvm::Expected<Results> run(llvm::StringRef function,
                              llvm::ArrayRef<HostTensor> inputs);

private:
  struct Compiled;

  llvm::Expected<Compiled *> compile(llvm::StringRef function);
  llvm::Expected<std::vector<float> *> weight(llvm::StringRef symbol);

  mlir::ModuleOp module;
  ReadWeight read;
  std::vector<std::string> taps;
  llvm::StringMap<std::unique_ptr<Compiled>> functions;
  llvm::StringMap<std::vector<float>> weights;
};

} // namespace lfmc

#endif // LFMC_CODEGEN_REFERENCE_REFERENCEEXECUTOR_H

// SPDX-License-Identifier: Apache-2.0
//
// The compiler from end to end: checkpoint in, package out.
#ifndef LFMC_CODEGEN_PACKAGE_DRIVER_H
#define LFMC_CODEGEN_PACKAGE_DRIVER_H

#include "codegen/pack/Plan.h"
#include "codegen/package/Package.h"
#include "codegen/quantize/Calibration.h"
#include "codegen/tune/Tasks.h"
#include "dialects/lfm2/Lfm2.h"
#include "frontend/Checkpoint.h"

#include "mlir/IR/MLIRContext.h"
#include "mlir/IR/OwningOpRef.h"

#include <memory>
#include <optional>

namespace mlir {
class OpPassManager;
} // namespace mlir

namespace lfmc {

class TuningTable;

/// "lfmc 0.1.0".
std::string compilerVersion();

struct CompileOptions {
  std::string checkpoint;      ///< directory or GGUF file
  std::string target = "host"; ///< see targets/Target.h
  /// Levels of the family `target` that the library carries; the runtime takes
  /// the best that the processor has. See findTargets().
  std::vector<std::string> isa;
  std::string name; ///< empty: made of the directory's name
  std::optional<lfm2::StoredKind> weights; ///< unset: as stored
  /// Schemes of the pass lfmc-quantize; empty: no quantization.
  std::vector<std::string> quant;
  /// Rows that meet bf16 weights are rounded to bf16.
  bool bf16Rows = false;
  /// Chooses among what kernels let be tuned; null: presets.
  std::shared_ptr<const TuningTable> tuning;
  Json mix; ///< how `quant` was chosen, "mix" of NAME.json; null: by hand
  /// F32, F16 or Q8 of K and V; unset: F16 if quantized, else F32.
  std::optional<lfm2::StoredKind> cache;
  /// How blocks are made. With a calibration, and not rounded to nearest,
  /// channels are scaled first (codegen/quantize/Equalize.h).
  QuantizerChoice quantizer;
  /// The program keeps what linears multiply
  /// (passes/calibrate/ObserveInputs.h).
  bool observe = false;
  int64_t maxContext = 0; ///< 0: 4096, or what the model allows
  int64_t maxPrefill = 0; ///< 0: 512, or maxContext
  unsigned jobs = 0;      ///< 0: all cores
  std::string cacheDir;   ///< of compiled kernels; empty: none
  /// Called with a stage ("kernels", "weights"), done and total; from any
  /// thread, stages overlap.
  std::function<void(const char *, uint64_t, uint64_t)> progress;
  /// Gets the directory of the finished package before it has its name; the
  /// result becomes "measured" of NAME.json, an error ends the compilation.
  std::function<llvm::Expected<Json>(const std::string &)> measure;
  /// Gets warnings and remarks, one line each.
  std::function<void(const std::string &)> remark;
};

/// What `lfmc compile --emit` prints.
enum class EmitStage { Lfm2, Kernel, Llvm, Assembly, HalideStmt };

/// One compilation. Errors of MLIR come back as llvm::Error with their notes,
/// one line each, that name the checkpoint's tensors.
class Compilation {
public:
  /// Opens the checkpoint and imports it.
  static llvm::Expected<std::unique_ptr<Compilation>>
  open(const CompileOptions &options);
  ~Compilation();

  /// Everything as text; runs the passes that it takes. Call once.
  llvm::Expected<std::string> emit(EmitStage kind);

  /// Runs all passes; needed before the two below. Call once.
  llvm::Error optimise();
  llvm::Error lower();

  /// What NAME.json says, without what only packing tells ("weights_id",
  /// "files").
  Json manifest() const;

  /// Where every weight lies and what it is made of; after lower(). Quantizers
  /// and tensors live as long as this.
  llvm::Expected<std::vector<pack::PlannedWeight>> plan() const;
  const SafeTensors &tensors() const { return checkpoint->tensors(); }
  const Checkpoint &source() const { return *checkpoint; }

  /// Packs the weights and generates the code, side by side, and writes `path`.
  llvm::Error writePackage(llvm::StringRef path, bool force,
                           const Installation &installation);

  const std::string &name() const { return packageName; }
  /// The program as it is.
  mlir::ModuleOp ir() const { return *module; }
  /// The best level.
  const Target &target() const { return *machine; }
  /// "quantization" among the manifest's "options"; null: nothing is quantized.
  Json quantizationJson() const;
  /// "x86-64-v4", or "x86-64-v2, x86-64-v3, x86-64-v4".
  std::string targetNames() const;

private:
  explicit Compilation(const CompileOptions &options);
  llvm::Error import();
  llvm::Error run(llvm::function_ref<void(mlir::OpPassManager &)> build) {
    return run(*module, build);
  }
  llvm::Error run(mlir::ModuleOp module,
                  llvm::function_ref<void(mlir::OpPassManager &)> build);
  llvm::Error takeDiagnostics(const char *what);
  llvm::Error readTokenizer();
  void remarkRounded();
  llvm::Error equalise();
  llvm::Error lowerLevels();
  Json levelsJson() const;
  Json tuningJson() const;
  ProgramInfo programInfo(const PackedWeights &packed) const;
  llvm::Error generateLevels(CodegenOptions codegen,
                             std::vector<ObjectFile> &objects);
  PackageFacts facts() const;
  llvm::Error addFigures(StagedDirectory &directory);
  llvm::Expected<std::vector<ObjectFile>>
  generate(std::vector<pack::PlannedWeight> planned, const std::string &weights,
           PackedWeights &packed);

  CompileOptions options;
  std::string packageName;
  const Target *machine = nullptr;
  std::optional<Checkpoint> checkpoint;
  std::vector<uint8_t> tokenizer; // empty: none
  mlir::MLIRContext context;
  std::string diagnostics; // of the errors so far
  mlir::OwningOpRef<mlir::ModuleOp> module;
  /// One of the other levels, worst first; all read the same weights.
  struct Level {
    const Target *machine;
    mlir::OwningOpRef<mlir::ModuleOp> module;
  };
  std::vector<Level> levels;
  int64_t maxContext = 0, maxPrefill = 0;
  Json work;
  std::vector<tune::Task> tasks; // what can be tuned
  int64_t scaledChannels = 0; // sets of them
};

} // namespace lfmc

#endif // LFMC_CODEGEN_PACKAGE_DRIVER_H

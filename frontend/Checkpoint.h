// SPDX-License-Identifier: Apache-2.0
//
// A checkpoint, a directory or a GGUF file: config and tensors, validated
// against each other.
#ifndef LFMC_FRONTEND_CHECKPOINT_H
#define LFMC_FRONTEND_CHECKPOINT_H

#include "frontend/ModelConfig.h"
#include "frontend/SafeTensors.h"

namespace lfmc {

/// A tensor that a model of some config has.
struct ExpectedTensor {
  /// Canonical name, with the prefix: "model.layers.3.conv.in_proj.weight".
  std::string name;
  std::vector<int64_t> shape;
  /// Layer, or -1 for embedding, final norm and head.
  int64_t layer = -1;
};

/// All tensors of a model, in the order in which the model uses them. Needs
/// config.ffnWidth.
std::vector<ExpectedTensor> expectedTensors(const ModelConfig &config);

/// Whether `path` is to be read as a checkpoint: a directory with config.json,
/// or a GGUF file.
bool isCheckpoint(llvm::StringRef path);

/// An open checkpoint whose tensors are exactly those of its config, with the
/// right shapes and with element types that lfmc can compile. Values are not
/// looked at (the packer refuses NaN and infinity). Movable, thread-safe for
/// reading.
class Checkpoint {
public:
  /// Opens a directory with config.json, generation_config.json (optional) and
  /// *.safetensors, or a GGUF file. Every missing, extra or misshapen tensor is
  /// named in the error, up to a dozen of each, one line each.
  static llvm::Expected<Checkpoint> open(llvm::StringRef path);

  const ModelConfig &config() const { return modelConfig; }
  const SafeTensors &tensors() const { return safeTensors; }
  /// The directory or file.
  llvm::StringRef location() const { return path; }

  /// The tensor of canonical name `name` ("model.…", also when the file's names
  /// lack the prefix or are GGUF's), or null.
  const TensorInfo *find(llvm::StringRef name) const;
  /// Its data; see SafeTensors::bytes. `name` must exist.
  llvm::ArrayRef<uint8_t> bytes(llvm::StringRef name) const;

  /// Whether there is a tokenizer: tokenizer.json, or the metadata of GGUF.
  bool hasTokenizer() const { return tokenizer; }

private:
  Checkpoint(std::string path, ModelConfig config, SafeTensors tensors)
      : path(std::move(path)), modelConfig(std::move(config)),
        safeTensors(std::move(tensors)) {}

  static llvm::Expected<Checkpoint> openDirectory(llvm::StringRef directory);
  static llvm::Expected<Checkpoint> openGguf(llvm::StringRef file);
  llvm::Error findPrefix();
  llvm::Error takeFfnWidth();
  llvm::Error checkTensors();

  std::string path;
  ModelConfig modelConfig;
  SafeTensors safeTensors;
  bool prefixed = true; // names on disk start with "model."
  bool tokenizer = false;
};

} // namespace lfmc

#endif // LFMC_FRONTEND_CHECKPOINT_H

// SPDX-License-Identifier: Apache-2.0
//
// What --quant auto measured and chose, for people and programs.
#ifndef LFMC_TOOLS_LFMC_MIXREPORT_H
#define LFMC_TOOLS_LFMC_MIXREPORT_H

#include "codegen/quantize/Calibration.h"
#include "tools/lfmc/Mix.h"
#include "tools/lfmc/Sensitivity.h"

namespace lfmc::cli {

struct MixReport {
  struct Form {
    std::string kind; ///< as --quant has it; "keep": as in the checkpoint
    uint64_t bytes = 0;
    Change change;
  };
  /// Tensors that take the same form.
  struct Group {
    std::string name;
    std::vector<std::string> weights; ///< by their names in NAME.json
    uint64_t elements = 0;
    std::vector<Form> forms;
    size_t chosen = 0;
  };

  std::string model;
  std::optional<uint64_t> targetBytes; ///< what was asked for: this
  std::optional<double> maxKl;         ///< or this
  std::string text;                    ///< "self", or the name of a file
  int64_t tokens = 0;                  ///< that were read
  std::vector<Group> groups;
  uint64_t fixedBytes = 0; ///< of the tensors in no group
  /// Mixes than which none is better: bytes of all tensors, Top-K KL.
  std::vector<MixChoice> curve;
  Change measured; ///< of the chosen mix, in a package
  /// What quantizers were made from; may be null.
  std::shared_ptr<const Calibration> calibration;

  /// Of the chosen mix; changes are sums over groups.
  uint64_t bytes() const;
  Change predicted() const;
  /// "name=kind" for each tensor that does not stay as it is.
  std::vector<std::string> schemes() const;

  /// "mix" of NAME.json.
  Json json() const;
  std::string table() const;
  /// A plot of the Top-K KL (logarithmic) over bytes: the curve, each kind for
  /// all tensors, the chosen mix as predicted and as measured.
  std::string svg() const;
};

} // namespace lfmc::cli

#endif // LFMC_TOOLS_LFMC_MIXREPORT_H

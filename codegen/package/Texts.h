// SPDX-License-Identifier: Apache-2.0
//
// The text files of a package: header, example, CMake and pkg-config files.
#ifndef LFMC_CODEGEN_PACKAGE_TEXTS_H
#define LFMC_CODEGEN_PACKAGE_TEXTS_H

#include <cstdint>
#include <string>

namespace lfmc {

/// What the texts mention.
struct PackageFacts {
  std::string name;     ///< C identifier
  std::string model;    ///< one line: "LFM2, 1,170,340,608 parameters, …"
  std::string compiler; ///< "lfmc 0.1.0"
  std::string version;  ///< "0.1.0"
  std::string target;   ///< "x86-64-v4"
  std::string arch;     ///< Hexagon: its version, "v66"; empty elsewhere
  int64_t maxContext = 0;
  int64_t vtcmBytes = 0; ///< Target::vtcmBytes
  bool hasTokenizer = false, hasChatTemplate = false;
  /// Whether the package carries the runtime's sources in the library's place.
  bool runtimeSources = false;
  bool android = false; ///< whose pages may have 16 KB
};

/// `text` with @NAME@ and the like replaced.
std::string filledText(const char *text, const PackageFacts &facts);
std::string headerText(const PackageFacts &facts);
/// The header of a package for an NPU (lfm/npu.h).
std::string npuHeaderText(const PackageFacts &facts);
std::string exampleText(const PackageFacts &facts);
std::string cmakeConfigText(const PackageFacts &facts);
std::string cmakeVersionText(const PackageFacts &facts);
std::string pkgConfigText(const PackageFacts &facts);

/// Whether `name` can be a package's name: a C identifier of at most 64
/// characters.
bool isPackageName(const std::string &name);

/// A package name made of any text: "LFM2-1.2B" becomes "LFM2_1_2B".
std::string packageName(const std::string &text);

} // namespace lfmc

#endif // LFMC_CODEGEN_PACKAGE_TEXTS_H

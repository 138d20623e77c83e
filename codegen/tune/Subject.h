// SPDX-License-Identifier: Apache-2.0
//
// What the tuner knows of a kernel family: the op, and data to check its
// kernels with.
#ifndef LFMC_CODEGEN_TUNE_SUBJECT_H
#define LFMC_CODEGEN_TUNE_SUBJECT_H

#include "codegen/tune/MeasureOptions.h"
#include "codegen/tune/Shapes.h"
#include "targets/Kernels.h"

#include <memory>

namespace lfmc::tune {

/// A kernel of a family, apart from any model.
class Subject {
public:
  virtual ~Subject();

  /// Functions with the op for one token and for many of them.
  virtual std::string module(const Target &target) const = 0;
  /// The op's name: "lfm2.linear".
  virtual llvm::StringRef op() const = 0;
  /// Operands of its kernels.
  virtual unsigned pointers() const = 0;
  /// Tokens of a call at most.
  virtual int64_t mostTokens() const;
  /// The file for the measuring program (measure/job.h): what the two kernels
  /// read and what they must give.
  virtual std::vector<uint8_t> job(const Kernel (&kernels)[2], int64_t tokens,
                                   const MeasureOptions &options) const = 0;
};

/// Of a Space::kernel; errors quote it.
llvm::Expected<std::unique_ptr<Subject>> subjectOf(llvm::StringRef kernel);

/// Positions of the caches of an attention: a power of two of the blocks of a
/// step.
inline constexpr int64_t cachePositions = 4096;

// Each family's, by file.
using Subjects = std::unique_ptr<Subject>;
Subjects makeSubject(const LinearShape &);    // LinearSubject.cpp
Subjects makeSubject(const AttentionShape &); // AttentionSubject.cpp
Subjects makeSubject(const ExpertShape &);    // ExpertSubject.cpp
Subjects makeSubject(const QuantizeShape &);  // QuantizeSubject.cpp
Subjects makeSubject(const NormShape &);      // RowSubjects.cpp
Subjects makeSubject(const EmbedShape &);
Subjects makeSubject(const RopeShape &); // RopeSubject.cpp
Subjects makeSubject(const ConvShape &); // ConvSubject.cpp

} // namespace lfmc::tune

#endif // LFMC_CODEGEN_TUNE_SUBJECT_H

// SPDX-License-Identifier: Apache-2.0
#include "codegen/tune/Subject.h"

using namespace llvm;

namespace lfmc::tune {

Subject::~Subject() = default;

int64_t Subject::mostTokens() const { return INT64_MAX; }

Expected<Subjects> subjectOf(StringRef kernel) {
  auto of = [](auto shape) -> Expected<Subjects> {
    if (!shape)
      return shape.takeError();
    return makeSubject(*shape);
  };
  const StringRef family = kernel.split(' ').first;
  return family == "attention"    ? of(AttentionShape::parse(kernel))
         : family == "experts"    ? of(ExpertShape::parse(kernel))
         : family == "quantize"   ? of(QuantizeShape::parse(kernel))
         : family == "rms_norm"   ? of(NormShape::parse(kernel))
         : family == "embed"      ? of(EmbedShape::parse(kernel))
         : family == "rope_cache" ? of(RopeShape::parse(kernel))
         : family == "short_conv" ? of(ConvShape::parse(kernel))
                                  : of(LinearShape::parse(kernel));
}

} // namespace lfmc::tune

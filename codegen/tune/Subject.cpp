// SPDX-License-Identifier: Apache-2.0
#include "codegen/tune/Subject.h"

using namespace llvm;

namespace lfmc::tune {

Subject::~Subject() = default;

int64_t Subject::mostTokens() const { return INT64_MAX; }

Expected<Subjects> subjectOf(StringRef kernel) {
  return withShape(kernel, [](auto shape) -> Expected<Subjects> {
    if (!shape)
      return shape.takeError();
    return makeSubject(*shape);
  });
}

} // namespace lfmc::tune

// SPDX-License-Identifier: Apache-2.0
//
// embed: y[k] = row `lane` of a panel stored [k/depth][rows][depth]; w points
// at (panel + lane * depth), so that one kernel serves every row.
#include "codegen/halide/Families.h"

using namespace Halide;

namespace lfmc::halide {

std::vector<Argument> embedArguments(const Params &) {
  return argumentList({"w"}, {"y"});
}

Pipeline buildEmbed(const Params &params, const Machine &) {
  const int width = params.size("width"), rows = params.size("rows");
  const Storage storage = storageParam(
      params, "wtype", {Storage::F32, Storage::BF16, Storage::F16});
  const int depth = storage == Storage::BF16 ? 2 : 1;
  if (width % depth)
    params.fail("parameter 'width' must be even for bf16 weights");
  Type type = storage == Storage::F32    ? Float(32)
              : storage == Storage::BF16 ? UInt(16)
                                         : Float(16);
  ImageParam w = input("w", type, {{depth, 1}, {width / depth, rows * depth}});

  // Scalar: the elements lie `rows` apart, and vector loads around them could
  // reach past the end of the weights.
  Var k("k"), pair("pair"), part("part");
  Func y("y");
  Expr value = w(k % depth, k / depth);
  if (storage == Storage::BF16)
    y(k) = reinterpret<float>(cast<uint32_t>(value) << 16);
  else
    y(k) = cast<float>(value);
  if (depth > 1)
    y.split(k, pair, part, depth).unroll(part);
  pinOutput(y, {{width, 1}});
  return {{w}, {y}, {}};
}

} // namespace lfmc::halide

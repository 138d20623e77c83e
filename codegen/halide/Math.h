// SPDX-License-Identifier: Apache-2.0
//
// Elementary functions for f32 kernels, as expressions without libm calls.
#ifndef LFMC_CODEGEN_HALIDE_MATH_H
#define LFMC_CODEGEN_HALIDE_MATH_H

#include <Halide.h>

namespace lfmc::halide {

/// e^x. At most 2 ulp off for x in [-87, 88]; exactly 1 at 0; 0 below -87.33
/// (where e^x is subnormal), also for -inf; constant above 88.37.
inline Halide::Expr expF32(Halide::Expr x) {
  using namespace Halide;
  // x = n ln2 + r. Adding 1.5 * 2^23 leaves n in the low mantissa bits; ln2 is
  // split so that n times its first part is exact. Reassociation would cancel
  // both, hence strict.
  const float magic = 12582912.0f;
  Expr c = strict_float(max(min(x, 88.37f), -88.0f));
  Expr shifted = strict_float(c * 1.44269504f + magic);
  Expr n = strict_float(shifted - magic);
  Expr r =
      strict_float((c - n * 0.693145751953125f) - n * 1.428606765330187e-06f);
  // e^r = 1 + r + r^2 q(r), |r| <= ln2 / 2; relative error of q's fit 8e-10.
  Expr q = 0.000198910798644647f;
  for (float a : {0.0013933731243014336f, 0.00833331048488617f,
                  0.041666463017463684f, 0.1666666716337204f, 0.5f})
    q = q * r + a;
  Expr p = strict_float((q * (r * r) + r) + 1.0f);
  Expr bits = reinterpret<int32_t>(shifted) - reinterpret<int32_t>(Expr(magic));
  Expr scale = reinterpret<float>((bits + 127) << 23);
  return strict_float(select(x < -87.33f, 0.0f, p * scale));
}

/// x / (1 + e^-x), with an exact division.
inline Halide::Expr siluF32(Halide::Expr x) {
  return Halide::strict_float(x / (1.0f + expF32(-x)));
}

} // namespace lfmc::halide

#endif // LFMC_CODEGEN_HALIDE_MATH_H

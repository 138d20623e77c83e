// SPDX-License-Identifier: Apache-2.0
#include "passes/expand/Emitter.h"

using namespace mlir;
using namespace lfmc::expand;

Value Emitter::add(Value l, Value r) {
  return arith::AddFOp::create(*this, l, r);
}
Value Emitter::sub(Value l, Value r) {
  return arith::SubFOp::create(*this, l, r);
}
Value Emitter::mul(Value l, Value r) {
  return arith::MulFOp::create(*this, l, r);
}
Value Emitter::div(Value l, Value r) {
  return arith::DivFOp::create(*this, l, r);
}
Value Emitter::accumulate(Value l, Value r) {
  return arith::AddFOp::create(*this, l, r, arith::FastMathFlags::reassoc);
}

Value Emitter::horner(Value x, ArrayRef<double> coefficients) {
  auto constant = [&](double value) {
    return arith::ConstantOp::create(*this, getFloatAttr(x.getType(), value));
  };
  Value sum = constant(coefficients.front());
  for (double coefficient : coefficients.drop_front())
    sum = add(mul(sum, x), constant(coefficient));
  return sum;
}

Value Emitter::exp(Value x) {
  auto select = [&](arith::CmpFPredicate predicate, double bound, Value value) {
    Value limit = f32(bound);
    Value out = arith::CmpFOp::create(*this, predicate, value, limit);
    return arith::SelectOp::create(*this, out, limit, value).getResult();
  };
  // Beyond these e^x is infinite and zero; a nan passes both comparisons.
  x = select(arith::CmpFPredicate::OGT, 89.0, x);
  x = select(arith::CmpFPredicate::OLT, -105.0, x);

  // n = round(x / ln 2): adding 1.5 * 2^23 leaves n in the low bits of the sum,
  // which spares a conversion that a nan would make undefined.
  Value magic = f32(12582912.0);
  Value shifted = add(mul(x, f32(1.44269504088896341)), magic);
  Value n = sub(shifted, magic);
  // ln 2 in two parts, the first short enough that n times it is exact.
  Value r = sub(x, mul(n, f32(0.693359375)));
  r = sub(r, mul(n, f32(-2.12194440e-4)));
  Value p = horner(r, {1.9841270e-4, 1.3888889e-3, 8.3333333e-3, 4.1666667e-2,
                       1.6666667e-1, 0.5});
  Value y = add(add(mul(mul(r, r), p), r), f32(1.0));

  // 2^n as two factors, so that subnormal results and overflow come out right.
  Type i32 = getI32Type();
  auto integer = [&](int64_t value) -> Value {
    return arith::ConstantOp::create(*this, getI32IntegerAttr(value));
  };
  auto power = [&](Value exponent) -> Value {
    Value biased = arith::AddIOp::create(*this, exponent, integer(127));
    Value bits = arith::ShLIOp::create(*this, biased, integer(23));
    return arith::BitcastOp::create(*this, getF32Type(), bits);
  };
  Value bits = arith::BitcastOp::create(*this, i32, shifted);
  Value exponent = arith::SubIOp::create(*this, bits, integer(0x4b400000));
  Value low = arith::ShRSIOp::create(*this, exponent, integer(1));
  Value high = arith::SubIOp::create(*this, exponent, low);
  return mul(mul(y, power(low)), power(high));
}

Value Emitter::silu(Value x) {
  Value one = f32(1.0);
  return div(x, add(one, exp(arith::NegFOp::create(*this, x))));
}

std::pair<Value, Value> Emitter::cosSin(Value angle) {
  Type f64 = getF64Type(), i64 = getI64Type();
  auto real = [&](double value) -> Value {
    return arith::ConstantOp::create(*this, getF64FloatAttr(value));
  };
  auto integer = [&](int64_t value) -> Value {
    return arith::ConstantOp::create(*this, getI64IntegerAttr(value));
  };
  // Positions reach 10^5 rad, where an f32 reduction has lost all digits.
  Value x = arith::ExtFOp::create(*this, f64, angle);
  Value magic = real(6755399441055744.0); // 1.5 * 2^52
  Value shifted = add(mul(x, real(0.63661977236758134308)), magic);
  Value n = sub(shifted, magic);
  Value r = sub(x, mul(n, real(1.57079632673412561417)));
  r = sub(r, mul(n, real(6.07710050650619224932e-11)));
  Value z = mul(r, r);
  // Taylor series: below 3e-11 for |r| <= pi/4.
  Value sine = horner(z, {-1.0 / 39916800, 1.0 / 362880, -1.0 / 5040, 1.0 / 120,
                          -1.0 / 6, 1.0});
  sine = mul(sine, r);
  Value cosine = horner(z, {1.0 / 479001600, -1.0 / 3628800, 1.0 / 40320,
                            -1.0 / 720, 1.0 / 24, -0.5, 1.0});

  Value quadrant = arith::BitcastOp::create(*this, i64, shifted);
  auto bit = [&](Value value, int64_t mask) -> Value {
    Value masked = arith::AndIOp::create(*this, value, integer(mask));
    return arith::CmpIOp::create(*this, arith::CmpIPredicate::ne, masked,
                                 integer(0));
  };
  auto signedBy = [&](Value negative, Value value) -> Value {
    Value negated = arith::NegFOp::create(*this, value);
    Value result = arith::SelectOp::create(*this, negative, negated, value);
    return arith::TruncFOp::create(*this, getF32Type(), result);
  };
  Value swapped = bit(quadrant, 1);
  Value next = arith::AddIOp::create(*this, quadrant, integer(1));
  return {signedBy(bit(next, 2),
                   arith::SelectOp::create(*this, swapped, sine, cosine)),
          signedBy(bit(quadrant, 2),
                   arith::SelectOp::create(*this, swapped, cosine, sine))};
}

// RUN: lfmc-opt %s --lfmc-fuse-residual | FileCheck %s

!w = tensor<64x64xf32, #lfm2.stored<f32>>
!x = tensor<?x64xf32>
lfm2.weight @w : !w = #lfm2.source<"w">

// CHECK-LABEL: func.func @linear_first(
// CHECK-SAME:      %[[X:.*]]: tensor<?x64xf32>)
// CHECK:         %[[R:.*]] = lfm2.swiglu
// CHECK:         lfm2.linear %[[X]], %{{.*}} residual(%[[R]])
func.func @linear_first(%x: !x) -> !x {
  %w = lfm2.param @w : !w
  %y = lfm2.linear %x, %w : (!x, !w) -> !x
  %r = lfm2.swiglu %x, %x : !x
  %s = arith.addf %y, %r : !x
  return %s : !x
}

// A sum of linears chains them, and the chain goes on.
// CHECK-LABEL: func.func @chain(
// CHECK-SAME:      %[[X:.*]]: tensor<?x64xf32>)
// CHECK:         %[[A:.*]] = lfm2.linear %[[X]], %{{[^ ]*}} :
// CHECK:         %[[B:.*]] = lfm2.linear %[[X]], %{{.*}} residual(%[[A]])
// CHECK:         return %[[B]]
func.func @chain(%x: !x) -> !x {
  %w = lfm2.param @w : !w
  %a = lfm2.linear %x, %w : (!x, !w) -> !x
  %b = lfm2.linear %x, %w : (!x, !w) -> !x
  %s = arith.addf %a, %b : !x
  return %s : !x
}

// CHECK-LABEL: func.func @two_users
// CHECK:         arith.addf
func.func @two_users(%x: !x) -> (!x, !x) {
  %w = lfm2.param @w : !w
  %y = lfm2.linear %x, %w : (!x, !w) -> !x
  %s = arith.addf %y, %x : !x
  return %s, %y : !x, !x
}

// CHECK-LABEL: func.func @doubled
// CHECK:         arith.addf
func.func @doubled(%x: !x) -> !x {
  %w = lfm2.param @w : !w
  %y = lfm2.linear %x, %w : (!x, !w) -> !x
  %s = arith.addf %y, %y : !x
  return %s : !x
}

// CHECK-LABEL: func.func @has_residual
// CHECK:         arith.addf
func.func @has_residual(%x: !x) -> !x {
  %w = lfm2.param @w : !w
  %y = lfm2.linear %x, %w residual(%x) : (!x, !w, !x) -> !x
  %s = arith.addf %y, %x : !x
  return %s : !x
}

// CHECK-LABEL: func.func @has_activation
// CHECK:         arith.addf
func.func @has_activation(%x: !x, %r: tensor<?x32xf32>) -> tensor<?x32xf32> {
  %w = lfm2.param @w : !w
  %y = lfm2.linear %x, %w {activation = #lfm2.activation<swiglu>} : (!x, !w) -> tensor<?x32xf32>
  %s = arith.addf %y, %r : tensor<?x32xf32>
  return %s : tensor<?x32xf32>
}

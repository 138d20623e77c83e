// RUN: lfmc-opt %s --lfmc-fuse-norm | FileCheck %s

!w = tensor<64x64xf32, #lfm2.stored<f32>>
!g = tensor<64xf32, #lfm2.stored<f32>>
!h = tensor<16xf32, #lfm2.stored<f32>>
!x = tensor<?x64xf32>
lfm2.weight @w : !w = #lfm2.source<"w">
lfm2.weight @g : !g = #lfm2.source<"g">
lfm2.weight @h : !h = #lfm2.source<"h">

// CHECK-LABEL: func.func @two_users
// CHECK:         lfm2.rms_norm
func.func @two_users(%x: !x) -> (!x, !x) {
  %w = lfm2.param @w : !w
  %g = lfm2.param @g : !g
  %n = lfm2.rms_norm %x, %g eps 1.0e-05 : !x, !g
  %y = lfm2.linear %n, %w : (!x, !w) -> !x
  return %y, %n : !x, !x
}

// CHECK-LABEL: func.func @per_head
// CHECK:         lfm2.rms_norm
func.func @per_head(%x: !x) -> !x {
  %w = lfm2.param @w : !w
  %h = lfm2.param @h : !h
  %n = lfm2.rms_norm %x, %h eps 1.0e-05 : !x, !h
  %y = lfm2.linear %n, %w : (!x, !w) -> !x
  return %y : !x
}

// CHECK-LABEL: func.func @as_residual
// CHECK:         lfm2.rms_norm
func.func @as_residual(%x: !x) -> !x {
  %w = lfm2.param @w : !w
  %g = lfm2.param @g : !g
  %n = lfm2.rms_norm %x, %g eps 1.0e-05 : !x, !g
  %y = lfm2.linear %x, %w residual(%n) : (!x, !w, !x) -> !x
  return %y : !x
}

// CHECK-LABEL: func.func @has_norm
// CHECK:         lfm2.rms_norm
func.func @has_norm(%x: !x) -> !x {
  %w = lfm2.param @w : !w
  %g = lfm2.param @g : !g
  %n = lfm2.rms_norm %x, %g eps 1.0e-05 : !x, !g
  %y = lfm2.linear %n, %w norm(%g) {eps = 1.0e-05 : f64} : (!x, !w, !g) -> !x
  return %y : !x
}

// RUN: lfmc-opt %s --lfmc-fuse-conv-gates | FileCheck %s

!w = tensor<64x3xf32, #lfm2.stored<f32>>
!x = tensor<1x64xf32>
!s = tensor<2x64xf32>
lfm2.weight @w : !w = #lfm2.source<"conv">

// Columns of one projection: the gate is the earlier one, as in B, C, x.
// CHECK-LABEL: func.func @columns
// CHECK:         %[[B:.*]] = tensor.extract_slice %{{.*}}[0, 0]
// CHECK:         %[[C:.*]] = tensor.extract_slice %{{.*}}[0, 64]
// CHECK:         %[[X:.*]] = tensor.extract_slice %{{.*}}[0, 128]
// CHECK:         lfm2.short_conv %[[X]], %{{.*}} gates(%[[B]], %[[C]])
func.func @columns(%bcx: tensor<1x192xf32>, %s: !s) -> (!x, !s) {
  %w = lfm2.param @w : !w
  %b = tensor.extract_slice %bcx[0, 0] [1, 64] [1, 1] : tensor<1x192xf32> to !x
  %c = tensor.extract_slice %bcx[0, 64] [1, 64] [1, 1] : tensor<1x192xf32> to !x
  %x = tensor.extract_slice %bcx[0, 128] [1, 64] [1, 1] : tensor<1x192xf32> to !x
  %bx = arith.mulf %x, %b : !x
  %y, %s1 = lfm2.short_conv %bx, %w, %s : (!x, !w, !s) -> (!x, !s)
  %cy = arith.mulf %y, %c : !x
  return %cy, %s1 : !x, !s
}

// CHECK-LABEL: func.func @late_gate
// CHECK:         %[[C:.*]] = lfm2.swiglu
// CHECK:         lfm2.short_conv {{.*}} gates(%{{.*}}, %[[C]])
func.func @late_gate(%b: !x, %x: !x, %s: !s) -> (!x, !s) {
  %w = lfm2.param @w : !w
  %bx = arith.mulf %b, %x : !x
  %y, %s1 = lfm2.short_conv %bx, %w, %s : (!x, !w, !s) -> (!x, !s)
  %c = lfm2.swiglu %b, %x : !x
  %cy = arith.mulf %c, %y : !x
  return %cy, %s1 : !x, !s
}

// The gate depends on the new state.
// CHECK-LABEL: func.func @gate_needs_state
// CHECK-COUNT-2: arith.mulf
func.func @gate_needs_state(%b: !x, %x: !x, %s: !s) -> (!x, !s) {
  %w = lfm2.param @w : !w
  %bx = arith.mulf %b, %x : !x
  %y, %s1 = lfm2.short_conv %bx, %w, %s : (!x, !w, !s) -> (!x, !s)
  %c = tensor.extract_slice %s1[1, 0] [1, 64] [1, 1] : !s to !x
  %cy = arith.mulf %c, %y : !x
  return %cy, %s1 : !x, !s
}

// CHECK-LABEL: func.func @two_users
// CHECK-COUNT-2: arith.mulf
func.func @two_users(%b: !x, %c: !x, %x: !x, %s: !s) -> (!x, !x, !s) {
  %w = lfm2.param @w : !w
  %bx = arith.mulf %b, %x : !x
  %y, %s1 = lfm2.short_conv %bx, %w, %s : (!x, !w, !s) -> (!x, !s)
  %cy = arith.mulf %c, %y : !x
  return %cy, %y, %s1 : !x, !x, !s
}

// CHECK-LABEL: func.func @squared
// CHECK-COUNT-2: arith.mulf
func.func @squared(%b: !x, %x: !x, %s: !s) -> (!x, !s) {
  %w = lfm2.param @w : !w
  %bx = arith.mulf %b, %x : !x
  %y, %s1 = lfm2.short_conv %bx, %w, %s : (!x, !w, !s) -> (!x, !s)
  %yy = arith.mulf %y, %y : !x
  return %yy, %s1 : !x, !s
}

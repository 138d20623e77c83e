// RUN: lfmc-opt %s --lfmc-fuse-swiglu | FileCheck %s

!w = tensor<128x64xf32, #lfm2.stored<f32>>
!x = tensor<?x64xf32>
!h = tensor<?x128xf32>
lfm2.weight @w : !w = #lfm2.source<"w1", "w3">

// CHECK-LABEL: func.func @swapped
// CHECK:         lfm2.swiglu
func.func @swapped(%x: !x, %n: index) -> tensor<1x64xf32> {
  %w = lfm2.param @w : !w
  %t = tensor.extract_slice %x[0, 0] [1, 64] [1, 1] : !x to tensor<1x64xf32>
  %h = lfm2.linear %t, %w : (tensor<1x64xf32>, !w) -> tensor<1x128xf32>
  %up = tensor.extract_slice %h[0, 0] [1, 64] [1, 1] : tensor<1x128xf32> to tensor<1x64xf32>
  %gate = tensor.extract_slice %h[0, 64] [1, 64] [1, 1] : tensor<1x128xf32> to tensor<1x64xf32>
  %y = lfm2.swiglu %gate, %up : tensor<1x64xf32>
  return %y : tensor<1x64xf32>
}

// The slices have %n rows, the linear perhaps more.
// CHECK-LABEL: func.func @fewer_rows
// CHECK:         lfm2.swiglu
func.func @fewer_rows(%x: !x, %n: index) -> !x {
  %w = lfm2.param @w : !w
  %h = lfm2.linear %x, %w : (!x, !w) -> !h
  %gate = tensor.extract_slice %h[0, 0] [%n, 64] [1, 1] : !h to !x
  %up = tensor.extract_slice %h[0, 64] [%n, 64] [1, 1] : !h to !x
  %y = lfm2.swiglu %gate, %up : !x
  return %y : !x
}

// CHECK-LABEL: func.func @other_users
// CHECK:         lfm2.swiglu
func.func @other_users(%x: !x) -> (!x, !x) {
  %w = lfm2.param @w : !w
  %c0 = arith.constant 0 : index
  %n = tensor.dim %x, %c0 : !x
  %h = lfm2.linear %x, %w : (!x, !w) -> !h
  %gate = tensor.extract_slice %h[0, 0] [%n, 64] [1, 1] : !h to !x
  %up = tensor.extract_slice %h[0, 64] [%n, 64] [1, 1] : !h to !x
  %y = lfm2.swiglu %gate, %up : !x
  return %y, %up : !x, !x
}

// CHECK-LABEL: func.func @not_halves
// CHECK:         lfm2.swiglu
func.func @not_halves(%x: !x) -> tensor<?x32xf32> {
  %w = lfm2.param @w : !w
  %c0 = arith.constant 0 : index
  %n = tensor.dim %x, %c0 : !x
  %h = lfm2.linear %x, %w : (!x, !w) -> !h
  %gate = tensor.extract_slice %h[0, 0] [%n, 32] [1, 1] : !h to tensor<?x32xf32>
  %up = tensor.extract_slice %h[0, 64] [%n, 32] [1, 1] : !h to tensor<?x32xf32>
  %y = lfm2.swiglu %gate, %up : tensor<?x32xf32>
  return %y : tensor<?x32xf32>
}

// CHECK-LABEL: func.func @has_residual
// CHECK:         lfm2.swiglu
func.func @has_residual(%x: tensor<1x64xf32>, %r: tensor<1x128xf32>) -> tensor<1x64xf32> {
  %w = lfm2.param @w : !w
  %h = lfm2.linear %x, %w residual(%r) : (tensor<1x64xf32>, !w, tensor<1x128xf32>) -> tensor<1x128xf32>
  %gate = tensor.extract_slice %h[0, 0] [1, 64] [1, 1] : tensor<1x128xf32> to tensor<1x64xf32>
  %up = tensor.extract_slice %h[0, 64] [1, 64] [1, 1] : tensor<1x128xf32> to tensor<1x64xf32>
  %y = lfm2.swiglu %gate, %up : tensor<1x64xf32>
  return %y : tensor<1x64xf32>
}

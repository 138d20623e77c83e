// RUN: lfmc-opt %s --lfmc-stack-linears | FileCheck %s

// One stack serves all functions, in whatever order they compute.

!w = tensor<32x64xf32, #lfm2.stored<f32>>
!b = tensor<32xf32, #lfm2.stored<f32>>

// CHECK: lfm2.weight @l0.w13 : tensor<64x64xf32, #lfm2.stored<f32>> = #lfm2.source<"w1", "w3">
// CHECK: lfm2.weight @l0.b13 : tensor<64xf32, #lfm2.stored<f32>> = #lfm2.source<"b1", "b3">
// CHECK-NOT: lfm2.weight
lfm2.weight @l0.w3 : !w = #lfm2.source<"w3">
lfm2.weight @l0.w1 : !w = #lfm2.source<"w1">
lfm2.weight @l0.b1 : !b = #lfm2.source<"b1">
lfm2.weight @l0.b3 : !b = #lfm2.source<"b3">

// The swiglu decides which half comes first.
// CHECK-LABEL: func.func @decode
// CHECK:         %[[W:.*]] = lfm2.param @l0.w13
// CHECK:         %[[B:.*]] = lfm2.param @l0.b13
// CHECK:         %[[Y:.*]] = lfm2.linear %{{.*}}, %[[W]] bias(%[[B]])
// CHECK-NOT:     tensor.dim
// CHECK:         %[[G:.*]] = tensor.extract_slice %[[Y]][0, 0] [1, 32] [1, 1]
// CHECK:         %[[U:.*]] = tensor.extract_slice %[[Y]][0, 32] [1, 32] [1, 1]
// CHECK:         lfm2.swiglu %[[G]], %[[U]]
func.func @decode(%x: tensor<1x64xf32>) -> tensor<1x32xf32> {
  %w3 = lfm2.param @l0.w3 : !w
  %b3 = lfm2.param @l0.b3 : !b
  %up = lfm2.linear %x, %w3 bias(%b3) : (tensor<1x64xf32>, !w, !b) -> tensor<1x32xf32>
  %w1 = lfm2.param @l0.w1 : !w
  %b1 = lfm2.param @l0.b1 : !b
  %gate = lfm2.linear %x, %w1 bias(%b1) : (tensor<1x64xf32>, !w, !b) -> tensor<1x32xf32>
  %y = lfm2.swiglu %gate, %up : tensor<1x32xf32>
  return %y : tensor<1x32xf32>
}

// CHECK-LABEL: func.func @prefill
// CHECK:         %[[Y:.*]] = lfm2.linear
// CHECK:         %[[G:.*]] = tensor.extract_slice %[[Y]][0, 0]
// CHECK:         %[[U:.*]] = tensor.extract_slice %[[Y]][0, 32]
// CHECK:         return %[[G]], %[[U]]
func.func @prefill(%x: tensor<?x64xf32>) -> (tensor<?x32xf32>, tensor<?x32xf32>) {
  %w1 = lfm2.param @l0.w1 : !w
  %b1 = lfm2.param @l0.b1 : !b
  %w3 = lfm2.param @l0.w3 : !w
  %b3 = lfm2.param @l0.b3 : !b
  %gate = lfm2.linear %x, %w1 bias(%b1) : (tensor<?x64xf32>, !w, !b) -> tensor<?x32xf32>
  %up = lfm2.linear %x, %w3 bias(%b3) : (tensor<?x64xf32>, !w, !b) -> tensor<?x32xf32>
  return %gate, %up : tensor<?x32xf32>, tensor<?x32xf32>
}

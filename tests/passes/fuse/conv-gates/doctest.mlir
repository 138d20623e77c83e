// RUN: lfmc-opt %s --lfmc-fuse-conv-gates | FileCheck %s

!w = tensor<64x3xf32, #lfm2.stored<f32>>
lfm2.weight @l0.conv : !w = #lfm2.source<"conv">

// CHECK-LABEL: func.func @operator(
// CHECK-SAME:      %[[B:[a-z0-9]*]]: tensor<?x64xf32>, %[[C:[a-z0-9]*]]: tensor<?x64xf32>, %[[X:[a-z0-9]*]]: tensor<?x64xf32>, %[[S:.*]]: tensor<2x64xf32>)
// CHECK-NOT:     arith.mulf
// CHECK:         %[[Y:.*]], %[[S1:.*]] = lfm2.short_conv %[[X]], %{{.*}}, %[[S]] gates(%[[B]], %[[C]])
// CHECK-NOT:     arith.mulf
// CHECK:         return %[[Y]], %[[S1]]
func.func @operator(%b: tensor<?x64xf32>, %c: tensor<?x64xf32>, %x: tensor<?x64xf32>, %s: tensor<2x64xf32>)
    -> (tensor<?x64xf32>, tensor<2x64xf32>) {
  %w = lfm2.param @l0.conv : !w
  %bx = arith.mulf %b, %x : tensor<?x64xf32>
  %y, %s1 = lfm2.short_conv %bx, %w, %s
      : (tensor<?x64xf32>, !w, tensor<2x64xf32>) -> (tensor<?x64xf32>, tensor<2x64xf32>)
  %cy = arith.mulf %c, %y : tensor<?x64xf32>
  return %cy, %s1 : tensor<?x64xf32>, tensor<2x64xf32>
}

// RUN: lfmc-opt %s --lfmc-fuse-residual | FileCheck %s

!w = tensor<64x64xf32, #lfm2.stored<bf16>>
lfm2.weight @l0.w2 : !w = #lfm2.source<"w2">

// CHECK-LABEL: func.func @block(
// CHECK-SAME:      %[[X:.*]]: tensor<?x64xf32>, %[[H:.*]]: tensor<?x64xf32>)
// CHECK:         %[[Y:.*]] = lfm2.linear %[[H]], %{{.*}} residual(%[[X]])
// CHECK-NOT:     arith.addf
// CHECK:         return %[[Y]]
func.func @block(%x: tensor<?x64xf32>, %h: tensor<?x64xf32>) -> tensor<?x64xf32> {
  %w = lfm2.param @l0.w2 : !w
  %y = lfm2.linear %h, %w : (tensor<?x64xf32>, !w) -> tensor<?x64xf32>
  %r = arith.addf %x, %y : tensor<?x64xf32>
  return %r : tensor<?x64xf32>
}

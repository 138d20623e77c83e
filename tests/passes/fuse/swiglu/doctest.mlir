// RUN: lfmc-opt %s --lfmc-fuse-swiglu | FileCheck %s

!w = tensor<128x64xf32, #lfm2.stored<bf16>>
lfm2.weight @l0.w13 : !w = #lfm2.source<"w1", "w3">

// CHECK-LABEL: func.func @block(
// CHECK-SAME:      %[[X:.*]]: tensor<?x64xf32>)
// CHECK:         %[[Y:.*]] = lfm2.linear %[[X]], %{{.*}} {activation = {{.*}}swiglu{{.*}}} {{.*}} -> tensor<?x64xf32>
// CHECK-NOT:     tensor.extract_slice
// CHECK-NOT:     lfm2.swiglu
// CHECK:         return %[[Y]]
func.func @block(%x: tensor<?x64xf32>) -> tensor<?x64xf32> {
  %w = lfm2.param @l0.w13 : !w
  %h = lfm2.linear %x, %w : (tensor<?x64xf32>, !w) -> tensor<?x128xf32>
  %c0 = arith.constant 0 : index
  %n = tensor.dim %x, %c0 : tensor<?x64xf32>
  %gate = tensor.extract_slice %h[0, 0] [%n, 64] [1, 1] : tensor<?x128xf32> to tensor<?x64xf32>
  %up = tensor.extract_slice %h[0, 64] [%n, 64] [1, 1] : tensor<?x128xf32> to tensor<?x64xf32>
  %y = lfm2.swiglu %gate, %up : tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}

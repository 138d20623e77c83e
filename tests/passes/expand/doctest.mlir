// RUN: lfmc-opt %s --lfmc-expand | FileCheck %s

lfm2.weight @l0.w13 : tensor<8x4xf32, #lfm2.stored<bf16>> = #lfm2.source<"w1", "w3">

// Weights are read as plain matrices; the silu of the gate is exp by a polynomial.
// CHECK-LABEL: func.func @feed_forward
func.func @feed_forward(%x: tensor<?x4xf32>) -> tensor<?x4xf32> {
  // CHECK: %[[PARAM:.*]] = lfm2.param @l0.w13
  // CHECK: %[[W:.*]] = tensor.cast %[[PARAM]] : tensor<8x4xf32, #lfm2.stored<bf16>> to tensor<8x4xf32>
  // CHECK: linalg.fill
  // CHECK: %[[Y:.*]] = linalg.generic
  // CHECK-SAME: iterator_types = ["parallel", "parallel", "reduction"]
  // CHECK-SAME: ins(%{{.*}}, %[[W]]
  // CHECK: arith.mulf
  // CHECK: arith.addf {{.*}} fastmath<reassoc>
  // CHECK-DAG: tensor.extract_slice %[[Y]][0, 0] [%{{.*}}, 4] [1, 1]
  // CHECK-DAG: tensor.extract_slice %[[Y]][0, 4] [%{{.*}}, 4] [1, 1]
  // CHECK: linalg.generic
  // CHECK-NOT: math.exp
  // CHECK: return %{{.*}} : tensor<?x4xf32>
  %w = lfm2.param @l0.w13 : tensor<8x4xf32, #lfm2.stored<bf16>>
  %0 = lfm2.linear %x, %w {activation = #lfm2.activation<swiglu>}
      : (tensor<?x4xf32>, tensor<8x4xf32, #lfm2.stored<bf16>>) -> tensor<?x4xf32>
  return %0 : tensor<?x4xf32>
}

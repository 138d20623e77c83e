// RUN: lfmc-opt %s --lfmc-fuse-norm | FileCheck %s

lfm2.weight @l0.w2 : tensor<32x64xf32, #lfm2.stored<bf16>> = #lfm2.source<"w2">
lfm2.weight @l0.ffn_norm : tensor<64xf32, #lfm2.stored<f32>> = #lfm2.source<"g">

// CHECK-LABEL: func.func @block(
// CHECK-SAME:      %[[X:.*]]: tensor<?x64xf32>
// CHECK-NOT:     lfm2.rms_norm
// CHECK:         %[[Y:.*]] = lfm2.linear %[[X]], %{{.*}} norm(%{{.*}}) {eps = 1.000000e-05 : f64}
// CHECK:         return %[[Y]]
func.func @block(%x: tensor<?x64xf32>) -> tensor<?x32xf32> {
  %g = lfm2.param @l0.ffn_norm : tensor<64xf32, #lfm2.stored<f32>>
  %w = lfm2.param @l0.w2 : tensor<32x64xf32, #lfm2.stored<bf16>>
  %n = lfm2.rms_norm %x, %g eps 1.0e-05 : tensor<?x64xf32>, tensor<64xf32, #lfm2.stored<f32>>
  %y = lfm2.linear %n, %w
      : (tensor<?x64xf32>, tensor<32x64xf32, #lfm2.stored<bf16>>) -> tensor<?x32xf32>
  return %y : tensor<?x32xf32>
}

// RUN: lfmc-opt %s --lfmc-quantize=bf16-rows | FileCheck %s

// Rows that meet bf16 weights, their norm included, and no others.
lfm2.weight @a : tensor<96x64xf32, #lfm2.stored<bf16>> = #lfm2.source<"a">
lfm2.weight @b : tensor<96x64xf32, #lfm2.stored<f32>> = #lfm2.source<"b">
lfm2.weight @c : tensor<96x63xf32, #lfm2.stored<bf16>> = #lfm2.source<"c">
lfm2.weight @g : tensor<64xf32, #lfm2.stored<f32>> = #lfm2.source<"g">
// CHECK-LABEL: @decode
func.func @decode(%x: tensor<1x64xf32>, %z: tensor<1x63xf32>) -> (tensor<1x96xf32>, tensor<1x96xf32>, tensor<1x96xf32>) {
  %a = lfm2.param @a : tensor<96x64xf32, #lfm2.stored<bf16>>
  %b = lfm2.param @b : tensor<96x64xf32, #lfm2.stored<f32>>
  %c = lfm2.param @c : tensor<96x63xf32, #lfm2.stored<bf16>>
  %g = lfm2.param @g : tensor<64xf32, #lfm2.stored<f32>>
  // CHECK: %[[ROW:.*]] = lfm2.quantize %arg0 norm(%{{.*}}) {eps = 1.000000e-05 : f64} : ({{.*}}) -> tensor<1x64xbf16>
  // CHECK: lfm2.linear %[[ROW]], %{{.*}} : (tensor<1x64xbf16>,
  // CHECK: lfm2.linear %arg0, %{{.*}} : (tensor<1x64xf32>,
  // CHECK: lfm2.linear %arg1, %{{.*}} : (tensor<1x63xf32>,
  %0 = lfm2.linear %x, %a norm(%g) {eps = 1.0e-05 : f64} : (tensor<1x64xf32>, tensor<96x64xf32, #lfm2.stored<bf16>>, tensor<64xf32, #lfm2.stored<f32>>) -> tensor<1x96xf32>
  %1 = lfm2.linear %x, %b : (tensor<1x64xf32>, tensor<96x64xf32, #lfm2.stored<f32>>) -> tensor<1x96xf32>
  %2 = lfm2.linear %z, %c : (tensor<1x63xf32>, tensor<96x63xf32, #lfm2.stored<bf16>>) -> tensor<1x96xf32>
  return %0, %1, %2 : tensor<1x96xf32>, tensor<1x96xf32>, tensor<1x96xf32>
}

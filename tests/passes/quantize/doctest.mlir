// RUN: lfmc-opt %s --lfmc-quantize="schemes=q4,head=q8" --cse | FileCheck %s

// CHECK: lfm2.weight @embed : tensor<128x64xf32, #lfm2.stored<q8 block 32>>
lfm2.weight @embed : tensor<128x64xf32, #lfm2.stored<bf16>> = #lfm2.source<"e">
// CHECK: lfm2.weight @norm : tensor<64xf32, #lfm2.stored<f32>>
lfm2.weight @norm : tensor<64xf32, #lfm2.stored<f32>> = #lfm2.source<"g">
// CHECK: lfm2.weight @w : tensor<96x64xf32, #lfm2.stored<q4 block 32>>
lfm2.weight @w : tensor<96x64xf32, #lfm2.stored<bf16>> = #lfm2.source<"w">
// Rows of 48 have no blocks of 32.
// CHECK: lfm2.weight @odd : tensor<64x48xf32, #lfm2.stored<bf16>>
lfm2.weight @odd : tensor<64x48xf32, #lfm2.stored<bf16>> = #lfm2.source<"o">

// CHECK-LABEL: func.func @decode
func.func @decode(%t: tensor<1xi32>, %z: tensor<1x48xf32>) -> (tensor<1x96xf32>, tensor<1x96xf32>, tensor<1x64xf32>, tensor<1x128xf32>) {
  %e = lfm2.param @embed : tensor<128x64xf32, #lfm2.stored<bf16>>
  %g = lfm2.param @norm : tensor<64xf32, #lfm2.stored<f32>>
  %w = lfm2.param @w : tensor<96x64xf32, #lfm2.stored<bf16>>
  %o = lfm2.param @odd : tensor<64x48xf32, #lfm2.stored<bf16>>
  // CHECK: %[[X:.*]] = lfm2.embed
  %x = lfm2.embed %t, %e : (tensor<1xi32>, tensor<128x64xf32, #lfm2.stored<bf16>>) -> tensor<1x64xf32>
  // One quantized row, norm included, serves both linears.
  // CHECK: %[[Q:.*]] = lfm2.quantize %[[X]] norm(%{{.*}}) {eps = 1.000000e-05 : f64} : {{.*}} -> tensor<1x64xf32, #lfm2.quantized<32>>
  // CHECK-NOT: lfm2.quantize
  // CHECK: lfm2.linear %[[Q]], %{{.*}} : (tensor<1x64xf32, #lfm2.quantized<32>>, tensor<96x64xf32, #lfm2.stored<q4 block 32>>) -> tensor<1x96xf32>
  %a = lfm2.linear %x, %w norm(%g) {eps = 1.0e-05 : f64} : (tensor<1x64xf32>, tensor<96x64xf32, #lfm2.stored<bf16>>, tensor<64xf32, #lfm2.stored<f32>>) -> tensor<1x96xf32>
  // CHECK: lfm2.linear %[[Q]], %{{.*}}
  %b = lfm2.linear %x, %w norm(%g) residual(%a) {eps = 1.0e-05 : f64} : (tensor<1x64xf32>, tensor<96x64xf32, #lfm2.stored<bf16>>, tensor<64xf32, #lfm2.stored<f32>>, tensor<1x96xf32>) -> tensor<1x96xf32>
  // CHECK: lfm2.linear %{{.*}}, %{{.*}} : (tensor<1x48xf32>, tensor<64x48xf32, #lfm2.stored<bf16>>)
  %c = lfm2.linear %z, %o : (tensor<1x48xf32>, tensor<64x48xf32, #lfm2.stored<bf16>>) -> tensor<1x64xf32>
  // CHECK: %[[H:.*]] = lfm2.quantize %[[X]] :
  // CHECK: lfm2.linear %[[H]], %{{.*}} : {{.*}}#lfm2.stored<q8 block 32>
  %d = lfm2.linear %x, %e : (tensor<1x64xf32>, tensor<128x64xf32, #lfm2.stored<bf16>>) -> tensor<1x128xf32>
  return %a, %b, %c, %d : tensor<1x96xf32>, tensor<1x96xf32>, tensor<1x64xf32>, tensor<1x128xf32>
}

// RUN: lfmc-opt %s | lfmc-opt | FileCheck %s
// RUN: lfmc-opt %s --mlir-print-op-generic | lfmc-opt | FileCheck %s

// CHECK: lfm2.weight @w.embed : tensor<512x64xf32, #lfm2.stored<bf16>> = #lfm2.source<"model.embed_tokens.weight">
lfm2.weight @w.embed : tensor<512x64xf32, #lfm2.stored<bf16>> = #lfm2.source<"model.embed_tokens.weight">

// CHECK-LABEL: func.func @embed
func.func @embed(%tokens: tensor<?xi32>) -> tensor<?x64xf32> {
  // CHECK: lfm2.param @w.embed : tensor<512x64xf32, #lfm2.stored<bf16>>
  %w = lfm2.param @w.embed : tensor<512x64xf32, #lfm2.stored<bf16>>
  // CHECK: lfm2.embed %{{.*}}, %{{.*}} : (tensor<?xi32>, tensor<512x64xf32, #lfm2.stored<bf16>>) -> tensor<?x64xf32>
  %x = lfm2.embed %tokens, %w : (tensor<?xi32>, tensor<512x64xf32, #lfm2.stored<bf16>>) -> tensor<?x64xf32>
  return %x : tensor<?x64xf32>
}

// CHECK-LABEL: func.func @rms_norm
func.func @rms_norm(%x: tensor<?x64xf32>, %g: tensor<16xf32>) -> tensor<?x64xf32> {
  // CHECK: lfm2.rms_norm %{{.*}}, %{{.*}} eps 1.000000e-05 : tensor<?x64xf32>, tensor<16xf32>
  %y = lfm2.rms_norm %x, %g eps 1.0e-05 : tensor<?x64xf32>, tensor<16xf32>
  return %y : tensor<?x64xf32>
}

// CHECK-LABEL: func.func @linear
func.func @linear(%x: tensor<?x64xf32>, %w: tensor<32x64xf32, #lfm2.stored<bf16>>,
                  %b: tensor<32xf32>, %g: tensor<64xf32, #lfm2.stored<f32>>,
                  %r: tensor<?x32xf32>) -> tensor<?x16xf32> {
  // CHECK: lfm2.linear %{{.*}}, %{{.*}} : (tensor<?x64xf32>, tensor<32x64xf32, #lfm2.stored<bf16>>) -> tensor<?x32xf32>
  %0 = lfm2.linear %x, %w : (tensor<?x64xf32>, tensor<32x64xf32, #lfm2.stored<bf16>>) -> tensor<?x32xf32>
  // CHECK: lfm2.linear %{{.*}}, %{{.*}} bias(%{{.*}}) : (tensor<?x64xf32>, tensor<32x64xf32, #lfm2.stored<bf16>>, tensor<32xf32>) -> tensor<?x32xf32>
  %1 = lfm2.linear %x, %w bias(%b) : (tensor<?x64xf32>, tensor<32x64xf32, #lfm2.stored<bf16>>, tensor<32xf32>) -> tensor<?x32xf32>
  // CHECK: lfm2.linear %{{.*}}, %{{.*}} norm(%{{.*}}) residual(%{{.*}}) {eps = 1.000000e-05 : f64}
  %y = lfm2.linear %x, %w norm(%g) residual(%r) {eps = 1.0e-05 : f64}
      : (tensor<?x64xf32>, tensor<32x64xf32, #lfm2.stored<bf16>>, tensor<64xf32, #lfm2.stored<f32>>, tensor<?x32xf32>) -> tensor<?x32xf32>
  // CHECK: lfm2.linear %{{.*}}, %{{.*}} {activation = #lfm2.activation<swiglu>}
  %3 = lfm2.linear %x, %w {activation = #lfm2.activation<swiglu>}
      : (tensor<?x64xf32>, tensor<32x64xf32, #lfm2.stored<bf16>>) -> tensor<?x16xf32>
  return %3 : tensor<?x16xf32>
}

// CHECK-LABEL: func.func @short_conv
func.func @short_conv(%x: tensor<?x64xf32>, %w: tensor<64x3xf32>, %b: tensor<64xf32>,
                      %s: tensor<2x64xf32>) -> (tensor<?x64xf32>, tensor<2x64xf32>) {
  // CHECK: lfm2.short_conv %{{.*}}, %{{.*}}, %{{.*}} : (tensor<?x64xf32>, tensor<64x3xf32>, tensor<2x64xf32>) -> (tensor<?x64xf32>, tensor<2x64xf32>)
  %y0, %s0 = lfm2.short_conv %x, %w, %s
      : (tensor<?x64xf32>, tensor<64x3xf32>, tensor<2x64xf32>) -> (tensor<?x64xf32>, tensor<2x64xf32>)
  // CHECK: lfm2.short_conv %{{.*}}, %{{.*}}, %{{.*}} bias(%{{.*}}) gates(%{{.*}}, %{{.*}}) :
  %y1, %s1 = lfm2.short_conv %y0, %w, %s0 bias(%b) gates(%x, %x)
      : (tensor<?x64xf32>, tensor<64x3xf32>, tensor<2x64xf32>, tensor<64xf32>, tensor<?x64xf32>, tensor<?x64xf32>) -> (tensor<?x64xf32>, tensor<2x64xf32>)
  return %y1, %s1 : tensor<?x64xf32>, tensor<2x64xf32>
}

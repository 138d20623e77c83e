// RUN: lfmc-opt %s --lfmc-select-kernels=target=x86-64-v4 | FileCheck %s

// The weight's layout comes with the kernel: 64 rows a panel, bf16 in pairs.
// CHECK: lfm2.weight @w2 : tensor<128x64xf32, #lfm2.stored<bf16, <rows = 64, depth = 2>>>
lfm2.weight @w2 : tensor<128x64xf32, #lfm2.stored<bf16>> = #lfm2.source<"w2">
lfm2.weight @norm : tensor<64xf32, #lfm2.stored<f32>> = #lfm2.source<"g">

// CHECK: kernel.decl @rms_norm_w64_{{[0-9a-f]+}} "rms_norm"
// CHECK: kernel.decl @linear_bf16_n128_k64_t1_{{[0-9a-f]+}} "linear"

// For one token the norm is each thread's own.
// CHECK-LABEL: func.func @decode
// CHECK: kernel.call replicated @rms_norm
// CHECK: kernel.call @linear_bf16_n128_k64_t1
func.func @decode(%x: tensor<1x64xf32>, %r: tensor<1x128xf32>) -> tensor<1x128xf32> {
  %g = lfm2.param @norm : tensor<64xf32, #lfm2.stored<f32>>
  %w = lfm2.param @w2 : tensor<128x64xf32, #lfm2.stored<bf16>>
  %y = lfm2.linear %x, %w norm(%g) residual(%r) {eps = 1.0e-05 : f64}
      : (tensor<1x64xf32>, tensor<128x64xf32, #lfm2.stored<bf16>>, tensor<64xf32, #lfm2.stored<f32>>, tensor<1x128xf32>) -> tensor<1x128xf32>
  return %y : tensor<1x128xf32>
}

// CHECK-LABEL: func.func @prefill
// CHECK: kernel.call @rms_norm
// CHECK: kernel.call @linear_bf16_n128_k64_t{{[0-9]+}}
// CHECK-NOT: lfm2.linear
func.func @prefill(%x: tensor<?x64xf32>, %r: tensor<?x128xf32>) -> tensor<?x128xf32> {
  %g = lfm2.param @norm : tensor<64xf32, #lfm2.stored<f32>>
  %w = lfm2.param @w2 : tensor<128x64xf32, #lfm2.stored<bf16>>
  %y = lfm2.linear %x, %w norm(%g) residual(%r) {eps = 1.0e-05 : f64}
      : (tensor<?x64xf32>, tensor<128x64xf32, #lfm2.stored<bf16>>, tensor<64xf32, #lfm2.stored<f32>>, tensor<?x128xf32>) -> tensor<?x128xf32>
  return %y : tensor<?x128xf32>
}

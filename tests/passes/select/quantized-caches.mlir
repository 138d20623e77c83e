// RUN: lfmc-opt %s --lfmc-select-kernels=target=x86-64-v3 --lfmc-assign-offsets --lfmc-plan-memory | FileCheck %s

// A cache in int8: 128 positions, 2 heads, 32 codes and a scale.
// CHECK: lfm2.state @k per_token : tensor<128x2x32xf32, #lfm2.quantized_cache<64>> layout <lanes = 16> at 0
lfm2.state @k per_token : tensor<128x2x32xf32, #lfm2.quantized_cache<64>>
// CHECK: lfm2.state @v per_token : tensor<128x2x32xf32, #lfm2.quantized_cache<64>> layout <lanes = 1> at 9216
lfm2.state @v per_token : tensor<128x2x32xf32, #lfm2.quantized_cache<64>>

// CHECK: kernel.decl @rope_cache_{{.*}} kvtype = 3
// CHECK: kernel.decl @attention_{{.*}} kvtype = 3
// CHECK: kernel.buffer state[0] : memref<9216xi8>
func.func @prefill(%q: tensor<?x128xf32>, %kv: tensor<?x64xf32>, %g: tensor<32xf32>, %pos: index,
    %k: tensor<128x2x32xf32, #lfm2.quantized_cache<64>> {lfm2.state = @k}, %v: tensor<128x2x32xf32, #lfm2.quantized_cache<64>> {lfm2.state = @v})
    -> (tensor<?x128xf32>, tensor<128x2x32xf32, #lfm2.quantized_cache<64>> {lfm2.state = @k}, tensor<128x2x32xf32, #lfm2.quantized_cache<64>> {lfm2.state = @v})
    attributes {lfm2.max_tokens = 8 : i64} {
  %r, %k1, %v1 = lfm2.rope_cache %q, %kv, %kv norm(%g, %g) into %k, %v at %pos eps 1.0e-05 <theta = 1.0e+06 : f64, dim = 32>
      : (tensor<?x128xf32>, tensor<?x64xf32>, tensor<?x64xf32>, tensor<32xf32>, tensor<32xf32>, tensor<128x2x32xf32, #lfm2.quantized_cache<64>>, tensor<128x2x32xf32, #lfm2.quantized_cache<64>>, index) -> (tensor<?x128xf32>, tensor<128x2x32xf32, #lfm2.quantized_cache<64>>, tensor<128x2x32xf32, #lfm2.quantized_cache<64>>)
  %y = lfm2.attention %r, %k1, %v1 at %pos scale 0.5 : tensor<?x128xf32>, tensor<128x2x32xf32, #lfm2.quantized_cache<64>>, tensor<128x2x32xf32, #lfm2.quantized_cache<64>>
  return %y, %k1, %v1 : tensor<?x128xf32>, tensor<128x2x32xf32, #lfm2.quantized_cache<64>>, tensor<128x2x32xf32, #lfm2.quantized_cache<64>>
}

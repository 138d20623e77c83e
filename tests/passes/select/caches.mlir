// RUN: lfmc-opt %s --lfmc-select-kernels=target=x86-64-v4 | FileCheck %s

// The kernels that share a cache settle its layout; the symbol says it.
// CHECK: lfm2.state @k per_token : tensor<128x2x32xf32> layout <lanes = 16>
lfm2.state @k per_token : tensor<128x2x32xf32>
// CHECK: lfm2.state @v per_token : tensor<128x2x32xf32> layout <lanes = 1>
lfm2.state @v per_token : tensor<128x2x32xf32>
// CHECK: lfm2.weight @rope : tensor<128x32xf32, #lfm2.stored<f32>> = #lfm2.rope_table<<theta = 1.000000e+06 : f64, dim = 32>>

// CHECK-LABEL: func.func @prefill
// CHECK: %[[TABLE:.*]] = lfm2.param @rope
// CHECK: %[[ROPE:.*]]:3 = kernel.call @rope_cache_{{[0-9a-f]+}} ins({{.*}}, %[[TABLE]] : {{.*}}) outs(%{{.*}}, %[[K:.*]], %[[V:.*]] : {{.*}})
// CHECK: kernel.call @attention_t{{[0-9]+}}_{{[0-9a-f]+}} ins(%[[ROPE]]#0, %[[ROPE]]#1, %[[ROPE]]#2
func.func @prefill(%q: tensor<?x128xf32>, %kv: tensor<?x64xf32>, %g: tensor<32xf32>, %pos: index,
    %k: tensor<128x2x32xf32> {lfm2.state = @k}, %v: tensor<128x2x32xf32> {lfm2.state = @v})
    -> (tensor<?x128xf32>, tensor<128x2x32xf32> {lfm2.state = @k}, tensor<128x2x32xf32> {lfm2.state = @v})
    attributes {lfm2.max_tokens = 8 : i64} {
  %r, %k1, %v1 = lfm2.rope_cache %q, %kv, %kv norm(%g, %g) into %k, %v at %pos eps 1.0e-05 <theta = 1.0e+06 : f64, dim = 32>
      : (tensor<?x128xf32>, tensor<?x64xf32>, tensor<?x64xf32>, tensor<32xf32>, tensor<32xf32>, tensor<128x2x32xf32>, tensor<128x2x32xf32>, index) -> (tensor<?x128xf32>, tensor<128x2x32xf32>, tensor<128x2x32xf32>)
  %y = lfm2.attention %r, %k1, %v1 at %pos scale 0.5 : tensor<?x128xf32>, tensor<128x2x32xf32>, tensor<128x2x32xf32>
  return %y, %k1, %v1 : tensor<?x128xf32>, tensor<128x2x32xf32>, tensor<128x2x32xf32>
}

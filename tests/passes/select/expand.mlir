// RUN: lfmc-opt %s --lfmc-select-kernels=target=x86-64-v3 | FileCheck %s

// No provider takes a rope on its own: it becomes its expansion, and so does
// whatever must agree with an expanded op on the layout of the caches.
lfm2.state @k per_token : tensor<64x1x32xf32>
lfm2.state @v per_token : tensor<64x1x32xf32>

// CHECK: kernel.decl @expand_{{[0-9a-f]+}} "expand" {body = @expand_rope_[[ROPE:[0-9a-f]+]], strides = array<i64: 128, 128>}
// CHECK-LABEL: func.func @step
// CHECK-COUNT-4: kernel.call @expand_
// CHECK-NOT: lfm2.
// CHECK: return
func.func @step(%x: tensor<?x32xf32>, %pos: index,
    %k: tensor<64x1x32xf32> {lfm2.state = @k}, %v: tensor<64x1x32xf32> {lfm2.state = @v})
    -> (tensor<?x32xf32>, tensor<64x1x32xf32> {lfm2.state = @k}, tensor<64x1x32xf32> {lfm2.state = @v}) {
  %r = lfm2.rope %x at %pos head_dim 32 <theta = 1.0e+06 : f64, dim = 32> : tensor<?x32xf32>
  %k1 = lfm2.cache_write %r into %k at %pos : tensor<?x32xf32>, tensor<64x1x32xf32>
  %v1 = lfm2.cache_write %x into %v at %pos : tensor<?x32xf32>, tensor<64x1x32xf32>
  %y = lfm2.attention %r, %k1, %v1 at %pos scale 0.5 : tensor<?x32xf32>, tensor<64x1x32xf32>, tensor<64x1x32xf32>
  return %y, %k1, %v1 : tensor<?x32xf32>, tensor<64x1x32xf32>, tensor<64x1x32xf32>
}

// CHECK: func.func private @expand_rope_[[ROPE]](%{{.*}}: tensor<1x32xf32>, %{{.*}}: tensor<1x32xf32>, %{{.*}}: index) -> tensor<1x32xf32>

// RUN: lfmc-opt %s --lfmc-split-prompt | FileCheck %s

lfm2.weight @l0.norm : tensor<64xf32, #lfm2.stored<f32>> = #lfm2.source<"g">
lfm2.weight @l0.qkv : tensor<128x64xf32, #lfm2.stored<f32>> = #lfm2.source<"qkv">
lfm2.weight @l0.head_norm : tensor<32xf32, #lfm2.stored<f32>> = #lfm2.source<"h">
lfm2.weight @l0.out : tensor<64x64xf32, #lfm2.stored<f32>> = #lfm2.source<"o">
lfm2.weight @l1.taps : tensor<64x3xf32, #lfm2.stored<f32>> = #lfm2.source<"taps">
lfm2.weight @embed : tensor<9x64xf32, #lfm2.stored<f32>> = #lfm2.source<"e">
lfm2.state @l0.k per_token : tensor<16x1x32xf32>
lfm2.state @l0.v per_token : tensor<16x1x32xf32>
lfm2.state @l1.conv : tensor<2x64xf32>

// CHECK-LABEL: func.func @prefill(
// CHECK:         lfm2.short_conv

// CHECK-LABEL: func.func @prompt(
// CHECK-SAME:      %[[IDS:.*]]: tensor<?xi32>
// CHECK-NOT:     @l1.conv
// CHECK:         %[[X:.*]] = lfm2.embed %[[IDS]]
// CHECK:         %[[ROTATED:.*]], %[[K:.*]], %[[V:.*]] = lfm2.rope_cache
// CHECK-NOT:     lfm2.attention
// CHECK:         return %[[X]], %[[K]], %[[V]]

// Two taps before the last token's: three rows.
// CHECK-LABEL: func.func @prompt_end(
// CHECK-SAME:      %[[ROWS:.*]]: tensor<?x64xf32>
// CHECK-SAME:      lfm2.state = @l1.conv
// CHECK-SAME:      lfm2.max_tokens = 3
// CHECK:         lfm2.linear %[[ROWS]]
// CHECK:         tensor.dim %[[ROWS]]
// CHECK:         lfm2.rope_cache
// CHECK:         lfm2.attention
// CHECK:         lfm2.linear {{.*}} residual(%[[ROWS]])
// CHECK:         lfm2.short_conv
func.func @prefill(%ids: tensor<?xi32>, %pos: index,
                   %k: tensor<16x1x32xf32> {lfm2.state = @l0.k},
                   %v: tensor<16x1x32xf32> {lfm2.state = @l0.v},
                   %s: tensor<2x64xf32> {lfm2.state = @l1.conv})
    -> (tensor<?x64xf32>, tensor<16x1x32xf32> {lfm2.state = @l0.k},
        tensor<16x1x32xf32> {lfm2.state = @l0.v},
        tensor<2x64xf32> {lfm2.state = @l1.conv})
    attributes {lfm2.max_tokens = 8 : i64} {
  %c0 = arith.constant 0 : index
  %n = tensor.dim %ids, %c0 : tensor<?xi32>
  %e = lfm2.param @embed : tensor<9x64xf32, #lfm2.stored<f32>>
  %x = lfm2.embed %ids, %e : (tensor<?xi32>, tensor<9x64xf32, #lfm2.stored<f32>>) -> tensor<?x64xf32>
  %g = lfm2.param @l0.norm : tensor<64xf32, #lfm2.stored<f32>>
  %w = lfm2.param @l0.qkv : tensor<128x64xf32, #lfm2.stored<f32>>
  %qkv = lfm2.linear %x, %w norm(%g) {eps = 1.0e-05 : f64}
      : (tensor<?x64xf32>, tensor<128x64xf32, #lfm2.stored<f32>>, tensor<64xf32, #lfm2.stored<f32>>) -> tensor<?x128xf32>
  %q = tensor.extract_slice %qkv[0, 0] [%n, 64] [1, 1] : tensor<?x128xf32> to tensor<?x64xf32>
  %key = tensor.extract_slice %qkv[0, 64] [%n, 32] [1, 1] : tensor<?x128xf32> to tensor<?x32xf32>
  %value = tensor.extract_slice %qkv[0, 96] [%n, 32] [1, 1] : tensor<?x128xf32> to tensor<?x32xf32>
  %h = lfm2.param @l0.head_norm : tensor<32xf32, #lfm2.stored<f32>>
  %r, %k1, %v1 = lfm2.rope_cache %q, %key, %value norm(%h, %h) into %k, %v at %pos
      eps 1.0e-05 <theta = 1.0e+06 : f64, dim = 32>
      : (tensor<?x64xf32>, tensor<?x32xf32>, tensor<?x32xf32>, tensor<32xf32, #lfm2.stored<f32>>, tensor<32xf32, #lfm2.stored<f32>>, tensor<16x1x32xf32>, tensor<16x1x32xf32>, index) -> (tensor<?x64xf32>, tensor<16x1x32xf32>, tensor<16x1x32xf32>)
  %a = lfm2.attention %r, %k1, %v1 at %pos scale 0.25 : tensor<?x64xf32>, tensor<16x1x32xf32>, tensor<16x1x32xf32>
  %o = lfm2.param @l0.out : tensor<64x64xf32, #lfm2.stored<f32>>
  %y = lfm2.linear %a, %o residual(%x)
      : (tensor<?x64xf32>, tensor<64x64xf32, #lfm2.stored<f32>>, tensor<?x64xf32>) -> tensor<?x64xf32>
  %t = lfm2.param @l1.taps : tensor<64x3xf32, #lfm2.stored<f32>>
  %c, %s1 = lfm2.short_conv %y, %t, %s
      : (tensor<?x64xf32>, tensor<64x3xf32, #lfm2.stored<f32>>, tensor<2x64xf32>) -> (tensor<?x64xf32>, tensor<2x64xf32>)
  return %c, %k1, %v1, %s1 : tensor<?x64xf32>, tensor<16x1x32xf32>, tensor<16x1x32xf32>, tensor<2x64xf32>
}

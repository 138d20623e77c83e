// RUN: lfmc-opt %s --lfmc-quantize="schemes=q4" --cse --lfmc-select-kernels=target=x86-64-v4-vnni | FileCheck %s

// The router stays as it is; an expert begins with a panel.
// CHECK: lfm2.weight @router : tensor<8x64xf32, #lfm2.stored<f32, <rows = 8, depth = 1>>>
lfm2.weight @router : tensor<8x64xf32, #lfm2.stored<f32>> = #lfm2.source<"l.feed_forward.gate.weight">
// CHECK: lfm2.weight @up : tensor<1536x64xf32, #lfm2.stored<q4 block 32, <rows = 32, depth = 4, halves = true>>> {{.*}}lfm2.group = "experts"
lfm2.weight @up : tensor<1536x64xf32, #lfm2.stored<bf16>> = #lfm2.source<"l.feed_forward.experts.0.w1.weight">
// CHECK: lfm2.weight @down : tensor<512x96xf32, #lfm2.stored<q4 block 32, <rows = 32, depth = 4>>> {{.*}}lfm2.group = "experts"
lfm2.weight @down : tensor<512x96xf32, #lfm2.stored<bf16>> = #lfm2.source<"l.feed_forward.experts.0.w2.weight">

// For one token every thread routes for itself, and slots are chunks.
// CHECK-LABEL: func.func @decode
// CHECK: kernel.call @linear_f32_n8_k64_t1
// CHECK: kernel.call replicated @route_
// CHECK: kernel.call replicated @quantize_w64_
// CHECK: kernel.call @experts_q4_n192_k64_t1_
// CHECK: kernel.call replicated @quantize_w384_
// CHECK: kernel.call @experts_q4_n64_k96_t1_
func.func @decode(%x: tensor<1x64xf32>) -> tensor<1x64xf32> attributes {lfm2.max_tokens = 1 : i64} {
  %r = lfm2.param @router : tensor<8x64xf32, #lfm2.stored<f32>>
  %u = lfm2.param @up : tensor<1536x64xf32, #lfm2.stored<bf16>>
  %d = lfm2.param @down : tensor<512x96xf32, #lfm2.stored<bf16>>
  %l = lfm2.linear %x, %r : (tensor<1x64xf32>, tensor<8x64xf32, #lfm2.stored<f32>>) -> tensor<1x8xf32>
  %e, %w = lfm2.route %l top 4 normalize scaling 1.0 : (tensor<1x8xf32>) -> (tensor<1x4xi32>, tensor<1x4xf32>)
  %h = lfm2.experts %x, %u of 8 chosen(%e) scales(%w) {activation = #lfm2.activation<swiglu>}
      : (tensor<1x64xf32>, tensor<1536x64xf32, #lfm2.stored<bf16>>, tensor<1x4xi32>, tensor<1x4xf32>) -> tensor<1x384xf32>
  %y = lfm2.experts %h, %d of 8 chosen(%e) residual(%x)
      : (tensor<1x384xf32>, tensor<512x96xf32, #lfm2.stored<bf16>>, tensor<1x4xi32>, tensor<1x64xf32>) -> tensor<1x64xf32>
  return %y : tensor<1x64xf32>
}

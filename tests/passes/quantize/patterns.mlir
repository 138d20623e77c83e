// RUN: lfmc-opt %s --lfmc-quantize="schemes=q8,conv=q4/64,ffn=q4m,l1.*=q6,*.kept=keep" | FileCheck %s

// The last scheme that matches a weight counts.
// CHECK: @l0.in_proj : tensor<96x64xf32, #lfm2.stored<q4 block 64>>
lfm2.weight @l0.in_proj : tensor<96x64xf32, #lfm2.stored<bf16>> = #lfm2.source<"model.layers.0.conv.in_proj.weight">
// CHECK: @l0.w1 : tensor<96x64xf32, #lfm2.stored<q4m block 32>>
lfm2.weight @l0.w1 : tensor<96x64xf32, #lfm2.stored<bf16>> = #lfm2.source<"model.layers.0.feed_forward.w1.weight">
// CHECK: @l1.w1 : tensor<96x64xf32, #lfm2.stored<q6 block 32>>
lfm2.weight @l1.w1 : tensor<96x64xf32, #lfm2.stored<bf16>> = #lfm2.source<"model.layers.1.feed_forward.w1.weight">
// CHECK: @l1.kept : tensor<96x64xf32, #lfm2.stored<bf16>>
lfm2.weight @l1.kept : tensor<96x64xf32, #lfm2.stored<bf16>> = #lfm2.source<"model.layers.1.conv.out_proj.weight">
func.func @decode(%x: tensor<1x64xf32>) -> (tensor<1x96xf32>, tensor<1x96xf32>, tensor<1x96xf32>, tensor<1x96xf32>) {
  %a = lfm2.param @l0.in_proj : tensor<96x64xf32, #lfm2.stored<bf16>>
  %b = lfm2.param @l0.w1 : tensor<96x64xf32, #lfm2.stored<bf16>>
  %c = lfm2.param @l1.w1 : tensor<96x64xf32, #lfm2.stored<bf16>>
  %d = lfm2.param @l1.kept : tensor<96x64xf32, #lfm2.stored<bf16>>
  %0 = lfm2.linear %x, %a : (tensor<1x64xf32>, tensor<96x64xf32, #lfm2.stored<bf16>>) -> tensor<1x96xf32>
  %1 = lfm2.linear %x, %b : (tensor<1x64xf32>, tensor<96x64xf32, #lfm2.stored<bf16>>) -> tensor<1x96xf32>
  %2 = lfm2.linear %x, %c : (tensor<1x64xf32>, tensor<96x64xf32, #lfm2.stored<bf16>>) -> tensor<1x96xf32>
  %3 = lfm2.linear %x, %d : (tensor<1x64xf32>, tensor<96x64xf32, #lfm2.stored<bf16>>) -> tensor<1x96xf32>
  return %0, %1, %2, %3 : tensor<1x96xf32>, tensor<1x96xf32>, tensor<1x96xf32>, tensor<1x96xf32>
}

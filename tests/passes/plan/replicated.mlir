// RUN: lfmc-opt %s --lfmc-assign-offsets --lfmc-plan-memory | FileCheck %s

// A replicated call may read what one before it wrote: both run on every thread
// of the phase, in order, into buffers of their own.
lfm2.weight @w : tensor<64xf32, #lfm2.stored<f32>> = #lfm2.source<"w">
kernel.decl @part "attention" {} chunks <fixed = 1>
kernel.decl @combine "attention_combine" {} chunks <fixed = 1>
kernel.decl @norm "rms_norm" {} chunks <fixed = 1>
kernel.decl @linear "linear" {} chunks <fixed = 1>

// CHECK-LABEL: func.func @decode()
// CHECK-SAME: kernel.stack_bytes = 512
func.func @decode(%x: tensor<1x64xf32>) -> tensor<1x64xf32> attributes {lfm2.max_tokens = 1 : i64} {
  %w = lfm2.param @w : tensor<64xf32, #lfm2.stored<f32>>
  %e = tensor.empty() : tensor<1x64xf32>
  // CHECK: kernel.phase {
  // CHECK-NEXT: kernel.call @part
  // CHECK-NEXT: }
  %a = kernel.call @part ins(%x : tensor<1x64xf32>) outs(%e : tensor<1x64xf32>) -> tensor<1x64xf32>
  // CHECK: kernel.phase {
  // CHECK-NEXT: kernel.call replicated @combine
  // CHECK-NEXT: kernel.call replicated @norm
  // CHECK-NEXT: kernel.call @linear
  // CHECK-NEXT: }
  %b = kernel.call replicated @combine ins(%a : tensor<1x64xf32>) outs(%e : tensor<1x64xf32>) -> tensor<1x64xf32>
  %c = kernel.call replicated @norm ins(%b, %w : tensor<1x64xf32>, tensor<64xf32, #lfm2.stored<f32>>) outs(%e : tensor<1x64xf32>) -> tensor<1x64xf32>
  %d = kernel.call @linear ins(%c : tensor<1x64xf32>) outs(%e : tensor<1x64xf32>) -> tensor<1x64xf32>
  return %d : tensor<1x64xf32>
}

// RUN: lfmc-opt %s --lfmc-assign-offsets --lfmc-plan-memory | FileCheck %s

lfm2.weight @w : tensor<64xf32, #lfm2.stored<f32>> = #lfm2.source<"w">
lfm2.state @s : tensor<2x64xf32>
kernel.decl @norm "rms_norm" {} chunks <fixed = 1>
kernel.decl @mix "mix" {} chunks <fixed = 1>
kernel.decl @push "push" {} chunks <fixed = 1>

// CHECK-LABEL: func.func @prefill()
// CHECK-SAME: kernel.stack_bytes = 0
func.func @prefill(%x: tensor<?x64xf32>, %s: tensor<2x64xf32> {lfm2.state = @s})
    -> (tensor<?x64xf32>, tensor<2x64xf32> {lfm2.state = @s}) attributes {lfm2.max_tokens = 8 : i64} {
  %c0 = arith.constant 0 : index
  %n = tensor.dim %x, %c0 : tensor<?x64xf32>
  %w = lfm2.param @w : tensor<64xf32, #lfm2.stored<f32>>
  %e = tensor.empty(%n) : tensor<?x64xf32>
  %e2 = tensor.empty(%n) : tensor<?x128xf32>
  // Two calls that do not depend on each other share a phase, two buffers.
  // CHECK: kernel.phase {
  // CHECK-NEXT: kernel.call @norm ins(%[[X:.*]], %{{.*}} : {{.*}}) outs(%{{.*}} : memref<?x64xf32>)
  // CHECK-NEXT: kernel.call @mix
  // CHECK-NEXT: }
  %a = kernel.call @norm ins(%x, %w : tensor<?x64xf32>, tensor<64xf32, #lfm2.stored<f32>>) outs(%e : tensor<?x64xf32>) -> tensor<?x64xf32>
  %b = kernel.call @mix ins(%x : tensor<?x64xf32>) outs(%e2 : tensor<?x128xf32>) -> tensor<?x128xf32>
  // A column slice is a strided buffer; the state is updated in place.
  %b1 = tensor.extract_slice %b[0, 64] [%n, 64] [1, 1] : tensor<?x128xf32> to tensor<?x64xf32>
  // CHECK: %[[SLICE:.*]] = kernel.buffer arena[{{256|2304}}] : memref<?x64xf32, strided<[128, 1]>>
  // CHECK: %[[STATE:.*]] = kernel.buffer state[0] : memref<2x64xf32>
  // CHECK: kernel.call @push ins(%{{.*}}, %[[SLICE]] : {{.*}}) outs(%{{.*}}, %[[STATE]] : {{.*}})
  %c, %s1 = kernel.call @push ins(%a, %b1 : tensor<?x64xf32>, tensor<?x64xf32>) outs(%e, %s : tensor<?x64xf32>, tensor<2x64xf32>) -> tensor<?x64xf32>, tensor<2x64xf32>
  // CHECK: %[[OUT:.*]] = kernel.buffer output[0] : memref<?x64xf32>
  // CHECK: kernel.call @norm ins(%{{.*}}, %{{.*}} : {{.*}}) outs(%[[OUT]] : memref<?x64xf32>)
  %y = kernel.call @norm ins(%c, %w : tensor<?x64xf32>, tensor<64xf32, #lfm2.stored<f32>>) outs(%e : tensor<?x64xf32>) -> tensor<?x64xf32>
  // CHECK: return{{$}}
  return %y, %s1 : tensor<?x64xf32>, tensor<2x64xf32>
}

// RUN: lfmc-opt %s | lfmc-opt | FileCheck %s

// CHECK: kernel.decl @linear_1f "linear" {k = 64 : i64, n = 32 : i64} chunks <fixed = 4>
kernel.decl @linear_1f "linear" {k = 64 : i64, n = 32 : i64} chunks <fixed = 4>
// CHECK: kernel.decl @norm "rms_norm" {width = 64 : i64} chunks <fixed = 1, tokens = 8>
kernel.decl @norm "rms_norm" {width = 64 : i64} chunks <fixed = 1, tokens = 8>

// CHECK-LABEL: func.func @tensors
func.func @tensors(%x: tensor<?x64xf32>, %w: tensor<32x64xf32>, %e: tensor<?x32xf32>) -> tensor<?x32xf32> {
  // CHECK: kernel.call @linear_1f ins(%{{.*}}, %{{.*}} : tensor<?x64xf32>, tensor<32x64xf32>) outs(%{{.*}} : tensor<?x32xf32>) -> tensor<?x32xf32>
  %r = kernel.call @linear_1f ins(%x, %w : tensor<?x64xf32>, tensor<32x64xf32>)
      outs(%e : tensor<?x32xf32>) -> tensor<?x32xf32>
  return %r : tensor<?x32xf32>
}

// CHECK-LABEL: func.func @buffers
func.func @buffers() {
  // CHECK: kernel.buffer arena[4096] : memref<1x64xf32>
  %x = kernel.buffer arena[4096] : memref<1x64xf32>
  %g = kernel.buffer weights[16384] : memref<256xi8>
  // CHECK: kernel.buffer stack[0]
  %n = kernel.buffer stack[0] : memref<1x64xf32>
  %y = kernel.buffer output[0] : memref<1x32xf32>
  // CHECK: kernel.phase {
  // CHECK-NEXT: kernel.call replicated @norm
  // CHECK-NEXT: kernel.call @linear_1f
  kernel.phase {
    kernel.call replicated @norm ins(%x, %g : memref<1x64xf32>, memref<256xi8>) outs(%n : memref<1x64xf32>)
    kernel.call @linear_1f ins(%n, %g : memref<1x64xf32>, memref<256xi8>) outs(%y : memref<1x32xf32>)
  }
  return
}

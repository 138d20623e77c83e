// RUN: lfmc-opt %s -split-input-file -verify-diagnostics

// DeclOp (C1)
// expected-error @+1 {{'kernel.decl' op expected a generator name}}
kernel.decl @a "" {} chunks <fixed = 1>

// -----

// DeclOp (C2), ChunksAttr
// expected-error @+1 {{expected fixed >= 1, found 0}}
kernel.decl @a "linear" {} chunks <fixed = 0>

// -----

// ChunksAttr
// expected-error @+1 {{expected tokens >= 0, found -1}}
kernel.decl @a "linear" {} chunks <fixed = 1, tokens = -1>

// -----

// CallOp (C1)
// expected-note @+1 {{found this instead}}
func.func private @f()
func.func @g(%x: tensor<1x4xf32>) -> tensor<1x4xf32> {
  // expected-error @+1 {{'kernel.call' op expected @f to be a kernel.decl}}
  %r = kernel.call @f ins(%x : tensor<1x4xf32>) outs(%x : tensor<1x4xf32>) -> tensor<1x4xf32>
  return %r : tensor<1x4xf32>
}

// -----

// CallOp (C2)
kernel.decl @a "add" {} chunks <fixed = 1>
func.func @g(%x: tensor<1x4xf32>, %m: memref<1x4xf32>) {
  // expected-error @+1 {{expected operands that are all tensors or all memrefs}}
  kernel.call @a ins(%x : tensor<1x4xf32>) outs(%m : memref<1x4xf32>)
  return
}

// -----

// CallOp (C2)
kernel.decl @a "add" {} chunks <fixed = 1>
func.func @g(%x: tensor<1x4xf32>) {
  // expected-error @+1 {{expected 1 results, found 0}}
  kernel.call @a ins(%x : tensor<1x4xf32>) outs(%x : tensor<1x4xf32>)
  return
}

// -----

// CallOp (C3)
kernel.decl @a "add" {} chunks <fixed = 1>
func.func @g(%x: tensor<1x4xf32>) -> tensor<1x8xf32> {
  // expected-error @+1 {{expected result type 'tensor<1x4xf32>' of its out, found 'tensor<1x8xf32>'}}
  %r = kernel.call @a ins(%x : tensor<1x4xf32>) outs(%x : tensor<1x4xf32>) -> tensor<1x8xf32>
  return %r : tensor<1x8xf32>
}

// -----

// BufferOp (C1)
func.func @g() {
  // expected-error @+1 {{expected an offset that is a multiple of 4, found 6}}
  %b = kernel.buffer arena[6] : memref<1x4xf32>
  return
}

// -----

// BufferOp (C1)
func.func @g() {
  // expected-error @+1 {{expected an offset that is 0, found 64}}
  %b = kernel.buffer output[64] : memref<1x4xf32>
  return
}

// -----

// PhaseOp (C1)
func.func @g() {
  kernel.phase {
    // expected-error @+1 {{expected only kernel.call in a kernel.phase}}
    %b = kernel.buffer arena[0] : memref<1x4xf32>
  }
  return
}

// -----

// PhaseOp (C1)
kernel.decl @a "add" {} chunks <fixed = 1>
func.func @g() {
  %b = kernel.buffer arena[0] : memref<1x4xf32>
  kernel.phase {
    kernel.call @a ins(%b : memref<1x4xf32>) outs(%b : memref<1x4xf32>)
    // expected-error @+1 {{expected replicated calls first in a phase}}
    kernel.call replicated @a ins(%b : memref<1x4xf32>) outs(%b : memref<1x4xf32>)
  }
  return
}

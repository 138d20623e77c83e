// RUN: lfmc-opt %s -split-input-file -verify-diagnostics

// embed (C1)
func.func @embed_tokens(%t: tensor<?xi32>, %w: tensor<8x4xf32>) {
  // expected-error @+1 {{expected the result's row count to be ?, found 3}}
  %0 = lfm2.embed %t, %w : (tensor<?xi32>, tensor<8x4xf32>) -> tensor<3x4xf32>
  return
}

// -----

// embed (C1), with a note at the weight
// expected-note @+1 {{weight declared here}}
lfm2.weight @w : tensor<8x4xf32, #lfm2.stored<bf16>> = #lfm2.source<"a">
func.func @embed_width(%t: tensor<?xi32>) {
  %w = lfm2.param @w : tensor<8x4xf32, #lfm2.stored<bf16>>
  // expected-error @+1 {{expected the result's width to be 4, found 5}}
  %0 = lfm2.embed %t, %w : (tensor<?xi32>, tensor<8x4xf32, #lfm2.stored<bf16>>) -> tensor<?x5xf32>
  return
}

// -----

// rms_norm (C1)
func.func @norm_rank(%x: tensor<?x2x4xf32>, %g: tensor<4xf32>) {
  // expected-error @+1 {{operand #0 must be rows of f32, one per token}}
  %0 = lfm2.rms_norm %x, %g eps 1.0e-05 : tensor<?x2x4xf32>, tensor<4xf32>
  return
}

// -----

// rms_norm (C2)
func.func @norm_groups(%x: tensor<?x8xf32>, %g: tensor<3xf32>) {
  // expected-error @+1 {{expected a row width divisible by the 3 elements of the weight, found 8}}
  %0 = lfm2.rms_norm %x, %g eps 1.0e-05 : tensor<?x8xf32>, tensor<3xf32>
  return
}

// -----

// rms_norm (C2): a weight without elements
func.func @norm_empty(%x: tensor<?x8xf32>, %g: tensor<0xf32>) {
  // expected-error @+1 {{expected a row width divisible by the 0 elements of the weight, found 8}}
  %0 = lfm2.rms_norm %x, %g eps 1.0e-05 : tensor<?x8xf32>, tensor<0xf32>
  return
}

// -----

// rms_norm (C3)
func.func @norm_eps(%x: tensor<?x8xf32>, %g: tensor<8xf32>) {
  // expected-error @+1 {{expected a finite eps above 0, found 0}}
  %0 = lfm2.rms_norm %x, %g eps 0.0 : tensor<?x8xf32>, tensor<8xf32>
  return
}

// -----

// rows: an encoding belongs to weights only
func.func @rows_encoding(%x: tensor<?x8xf32, #lfm2.stored<f32>>, %g: tensor<8xf32>) {
  // expected-error @+1 {{operand #0 must be rows of f32, one per token}}
  %0 = lfm2.rms_norm %x, %g eps 1.0e-05 : tensor<?x8xf32, #lfm2.stored<f32>>, tensor<8xf32>
  return
}

// -----

// rows: the width is static
func.func @rows_width(%x: tensor<?x?xf32>, %g: tensor<8xf32>) {
  // expected-error @+1 {{operand #0 must be rows of f32, one per token}}
  %0 = lfm2.rms_norm %x, %g eps 1.0e-05 : tensor<?x?xf32>, tensor<8xf32>
  return
}

// -----

// short_conv (C1)
func.func @conv_weight(%x: tensor<?x4xf32>, %w: tensor<5x3xf32>, %s: tensor<2x4xf32>) {
  // expected-error @+1 {{expected the rows of the weight to be 4, found 5}}
  %0:2 = lfm2.short_conv %x, %w, %s : (tensor<?x4xf32>, tensor<5x3xf32>, tensor<2x4xf32>) -> (tensor<?x4xf32>, tensor<2x4xf32>)
  return
}

// -----

// short_conv (C1)
func.func @conv_taps(%x: tensor<?x4xf32>, %w: tensor<4x1xf32>, %s: tensor<0x4xf32>) {
  // expected-error @+1 {{expected at least 2 taps, found 1}}
  %0:2 = lfm2.short_conv %x, %w, %s : (tensor<?x4xf32>, tensor<4x1xf32>, tensor<0x4xf32>) -> (tensor<?x4xf32>, tensor<0x4xf32>)
  return
}

// -----

// short_conv (C2)
func.func @conv_state(%x: tensor<?x4xf32>, %w: tensor<4x3xf32>, %s: tensor<3x4xf32>) {
  // expected-error @+1 {{expected the rows of the state to be 2, found 3}}
  %0:2 = lfm2.short_conv %x, %w, %s : (tensor<?x4xf32>, tensor<4x3xf32>, tensor<3x4xf32>) -> (tensor<?x4xf32>, tensor<3x4xf32>)
  return
}

// -----

// short_conv (C2)
func.func @conv_new_state(%x: tensor<?x4xf32>, %w: tensor<4x3xf32>, %s: tensor<2x4xf32>) {
  // expected-error @+1 {{expected a new state of type 'tensor<2x4xf32>', found 'tensor<2x5xf32>'}}
  %0:2 = lfm2.short_conv %x, %w, %s : (tensor<?x4xf32>, tensor<4x3xf32>, tensor<2x4xf32>) -> (tensor<?x4xf32>, tensor<2x5xf32>)
  return
}

// -----

// short_conv (C3)
func.func @conv_bias(%x: tensor<?x4xf32>, %w: tensor<4x3xf32>, %s: tensor<2x4xf32>, %b: tensor<3xf32>) {
  // expected-error @+1 {{expected the size of the bias to be 4, found 3}}
  %0:2 = lfm2.short_conv %x, %w, %s bias(%b) : (tensor<?x4xf32>, tensor<4x3xf32>, tensor<2x4xf32>, tensor<3xf32>) -> (tensor<?x4xf32>, tensor<2x4xf32>)
  return
}

// -----

// short_conv (C4)
func.func @conv_gates(%x: tensor<?x4xf32>, %w: tensor<4x3xf32>, %s: tensor<2x4xf32>, %g: tensor<?x5xf32>) {
  // expected-error @+1 {{expected gate post of type 'tensor<?x4xf32>', found 'tensor<?x5xf32>'}}
  %0:2 = lfm2.short_conv %x, %w, %s gates(%x, %g) : (tensor<?x4xf32>, tensor<4x3xf32>, tensor<2x4xf32>, tensor<?x4xf32>, tensor<?x5xf32>) -> (tensor<?x4xf32>, tensor<2x4xf32>)
  return
}

// -----

// short_conv (C5): only the generic form can say it
func.func @conv_one_gate(%x: tensor<?x4xf32>, %w: tensor<4x3xf32>, %s: tensor<2x4xf32>) {
  // expected-error @+1 {{expected both gates or none, found only pre}}
  %0:2 = "lfm2.short_conv"(%x, %w, %s, %x) <{operandSegmentSizes = array<i32: 1, 1, 1, 0, 1, 0>}> : (tensor<?x4xf32>, tensor<4x3xf32>, tensor<2x4xf32>, tensor<?x4xf32>) -> (tensor<?x4xf32>, tensor<2x4xf32>)
  return
}

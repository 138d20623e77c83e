// RUN: lfmc-opt %s -split-input-file -verify-diagnostics

// linear (C1), with a note at the weight
// expected-note @+1 {{weight declared here}}
lfm2.weight @w : tensor<6x4xf32, #lfm2.stored<bf16>> = #lfm2.source<"a">
func.func @width(%x: tensor<?x5xf32>) {
  %w = lfm2.param @w : tensor<6x4xf32, #lfm2.stored<bf16>>
  // expected-error @+1 {{expected the width of x to be 4, found 5}}
  %0 = lfm2.linear %x, %w : (tensor<?x5xf32>, tensor<6x4xf32, #lfm2.stored<bf16>>) -> tensor<?x6xf32>
  return
}

// -----

// linear (C2)
func.func @result_rows(%x: tensor<?x4xf32>, %w: tensor<6x4xf32>) {
  // expected-error @+1 {{expected the result's row count to be ?, found 1}}
  %0 = lfm2.linear %x, %w : (tensor<?x4xf32>, tensor<6x4xf32>) -> tensor<1x6xf32>
  return
}

// -----

// linear (C2)
func.func @result_width(%x: tensor<?x4xf32>, %w: tensor<6x4xf32>) {
  // expected-error @+1 {{expected the result's width to be 6, found 3}}
  %0 = lfm2.linear %x, %w : (tensor<?x4xf32>, tensor<6x4xf32>) -> tensor<?x3xf32>
  return
}

// -----

// linear (C2): half the width with swiglu
func.func @result_swiglu(%x: tensor<?x4xf32>, %w: tensor<6x4xf32>) {
  // expected-error @+1 {{expected the result's width to be 3, found 6}}
  %0 = lfm2.linear %x, %w {activation = #lfm2.activation<swiglu>} : (tensor<?x4xf32>, tensor<6x4xf32>) -> tensor<?x6xf32>
  return
}

// -----

// linear (C2)
func.func @odd_swiglu(%x: tensor<?x4xf32>, %w: tensor<5x4xf32>) {
  // expected-error @+1 {{expected an even number of weight rows with swiglu, found 5}}
  %0 = lfm2.linear %x, %w {activation = #lfm2.activation<swiglu>} : (tensor<?x4xf32>, tensor<5x4xf32>) -> tensor<?x2xf32>
  return
}

// -----

// linear (C3)
func.func @bias(%x: tensor<?x4xf32>, %w: tensor<6x4xf32>, %b: tensor<4xf32>) {
  // expected-error @+1 {{expected the size of the bias to be 6, found 4}}
  %0 = lfm2.linear %x, %w bias(%b) : (tensor<?x4xf32>, tensor<6x4xf32>, tensor<4xf32>) -> tensor<?x6xf32>
  return
}

// -----

// linear (C4)
func.func @norm_size(%x: tensor<?x4xf32>, %w: tensor<6x4xf32>, %g: tensor<6xf32>) {
  // expected-error @+1 {{expected the size of the norm weight to be 4, found 6}}
  %0 = lfm2.linear %x, %w norm(%g) {eps = 1.0e-05 : f64} : (tensor<?x4xf32>, tensor<6x4xf32>, tensor<6xf32>) -> tensor<?x6xf32>
  return
}

// -----

// linear (C4)
func.func @norm_without_eps(%x: tensor<?x4xf32>, %w: tensor<6x4xf32>, %g: tensor<4xf32>) {
  // expected-error @+1 {{expected eps with a norm weight, found none}}
  %0 = lfm2.linear %x, %w norm(%g) : (tensor<?x4xf32>, tensor<6x4xf32>, tensor<4xf32>) -> tensor<?x6xf32>
  return
}

// -----

// linear (C4)
func.func @eps_without_norm(%x: tensor<?x4xf32>, %w: tensor<6x4xf32>) {
  // expected-error @+1 {{expected no eps without a norm weight, found one}}
  %0 = lfm2.linear %x, %w {eps = 1.0e-05 : f64} : (tensor<?x4xf32>, tensor<6x4xf32>) -> tensor<?x6xf32>
  return
}

// -----

// linear (C4)
func.func @negative_eps(%x: tensor<?x4xf32>, %w: tensor<6x4xf32>, %g: tensor<4xf32>) {
  // expected-error @+1 {{expected a finite eps above 0, found -1}}
  %0 = lfm2.linear %x, %w norm(%g) {eps = -1.0 : f64} : (tensor<?x4xf32>, tensor<6x4xf32>, tensor<4xf32>) -> tensor<?x6xf32>
  return
}

// -----

// linear (C5)
func.func @residual_type(%x: tensor<?x4xf32>, %w: tensor<6x4xf32>, %r: tensor<?x4xf32>) {
  // expected-error @+1 {{expected a residual of type 'tensor<?x6xf32>', found 'tensor<?x4xf32>'}}
  %0 = lfm2.linear %x, %w residual(%r) : (tensor<?x4xf32>, tensor<6x4xf32>, tensor<?x4xf32>) -> tensor<?x6xf32>
  return
}

// -----

// linear (C5)
func.func @residual_swiglu(%x: tensor<?x4xf32>, %w: tensor<6x4xf32>, %r: tensor<?x3xf32>) {
  // expected-error @+1 {{expected no residual with swiglu, found one}}
  %0 = lfm2.linear %x, %w residual(%r) {activation = #lfm2.activation<swiglu>} : (tensor<?x4xf32>, tensor<6x4xf32>, tensor<?x3xf32>) -> tensor<?x3xf32>
  return
}

// RUN: lfmc-opt %s -split-input-file -verify-diagnostics

// route (C1)
func.func @bias(%l: tensor<?x8xf32>, %b: tensor<4xf32>) {
  // expected-error @+1 {{expected the size of the bias to be 8, found 4}}
  %e, %w = lfm2.route %l bias(%b) top 2 scaling 1.0 : (tensor<?x8xf32>, tensor<4xf32>) -> (tensor<?x2xi32>, tensor<?x2xf32>)
  return
}

// -----

// route (C2)
func.func @too_many(%l: tensor<?x8xf32>) {
  // expected-error @+1 {{expected 1 to 8 chosen experts, found 9}}
  %e, %w = lfm2.route %l top 9 scaling 1.0 : (tensor<?x8xf32>) -> (tensor<?x9xi32>, tensor<?x9xf32>)
  return
}

// -----

// route (C3)
func.func @widths(%l: tensor<?x8xf32>) {
  // expected-error @+1 {{expected the results' width to be 2, found 3}}
  %e, %w = lfm2.route %l top 2 scaling 1.0 : (tensor<?x8xf32>) -> (tensor<?x2xi32>, tensor<?x3xf32>)
  return
}

// -----

// route (C3)
func.func @rows(%l: tensor<?x8xf32>) {
  // expected-error @+1 {{expected the results' row count to be ?, found 1}}
  %e, %w = lfm2.route %l top 2 scaling 1.0 : (tensor<?x8xf32>) -> (tensor<1x2xi32>, tensor<?x2xf32>)
  return
}

// -----

// route (C4)
func.func @scaling(%l: tensor<?x8xf32>) {
  // expected-error @+1 {{expected a finite scaling above 0, found 0}}
  %e, %w = lfm2.route %l top 2 scaling 0.0 : (tensor<?x8xf32>) -> (tensor<?x2xi32>, tensor<?x2xf32>)
  return
}

// -----

// experts (C1), with a note at the weight
// expected-note @+1 {{weight declared here}}
lfm2.weight @w : tensor<20x4xf32, #lfm2.stored<bf16>> = #lfm2.source<"a">
func.func @rows(%x: tensor<?x4xf32>, %e: tensor<?x2xi32>, %s: tensor<?x2xf32>) {
  %w = lfm2.param @w : tensor<20x4xf32, #lfm2.stored<bf16>>
  // expected-error @+1 {{expected the weight's rows to be those of 4 experts, gate and up, found 20}}
  %0 = lfm2.experts %x, %w of 4 chosen(%e) scales(%s) {activation = #lfm2.activation<swiglu>}
      : (tensor<?x4xf32>, tensor<20x4xf32, #lfm2.stored<bf16>>, tensor<?x2xi32>, tensor<?x2xf32>) -> tensor<?x4xf32>
  return
}

// -----

// experts (C1)
func.func @none(%x: tensor<?x8xf32>, %w: tensor<12x4xf32>, %e: tensor<?x2xi32>) {
  // expected-error @+1 {{expected the weight's rows to be those of 0 experts, found 12}}
  %0 = lfm2.experts %x, %w of 0 chosen(%e) : (tensor<?x8xf32>, tensor<12x4xf32>, tensor<?x2xi32>) -> tensor<?x3xf32>
  return
}

// -----

// experts (C2)
func.func @spread(%x: tensor<?x5xf32>, %w: tensor<24x4xf32>, %e: tensor<?x2xi32>, %s: tensor<?x2xf32>) {
  // expected-error @+1 {{expected the width of x to be 4, found 5}}
  %0 = lfm2.experts %x, %w of 4 chosen(%e) scales(%s) {activation = #lfm2.activation<swiglu>}
      : (tensor<?x5xf32>, tensor<24x4xf32>, tensor<?x2xi32>, tensor<?x2xf32>) -> tensor<?x6xf32>
  return
}

// -----

// experts (C2)
func.func @slots(%x: tensor<?x4xf32>, %w: tensor<24x4xf32>, %e: tensor<?x2xi32>, %s: tensor<?x2xf32>) {
  // expected-error @+1 {{expected the result's width to be 6, found 3}}
  %0 = lfm2.experts %x, %w of 4 chosen(%e) scales(%s) {activation = #lfm2.activation<swiglu>}
      : (tensor<?x4xf32>, tensor<24x4xf32>, tensor<?x2xi32>, tensor<?x2xf32>) -> tensor<?x3xf32>
  return
}

// -----

// experts (C3)
func.func @gather(%x: tensor<?x4xf32>, %w: tensor<12x4xf32>, %e: tensor<?x2xi32>) {
  // expected-error @+1 {{expected the width of x to be 8, found 4}}
  %0 = lfm2.experts %x, %w of 4 chosen(%e) : (tensor<?x4xf32>, tensor<12x4xf32>, tensor<?x2xi32>) -> tensor<?x3xf32>
  return
}

// -----

// experts (C4)
func.func @no_scales(%x: tensor<?x4xf32>, %w: tensor<24x4xf32>, %e: tensor<?x2xi32>) {
  // expected-error @+1 {{expected scales with swiglu, found none}}
  %0 = lfm2.experts %x, %w of 4 chosen(%e) {activation = #lfm2.activation<swiglu>}
      : (tensor<?x4xf32>, tensor<24x4xf32>, tensor<?x2xi32>) -> tensor<?x6xf32>
  return
}

// -----

// experts (C4)
func.func @scales(%x: tensor<?x8xf32>, %w: tensor<12x4xf32>, %e: tensor<?x2xi32>, %s: tensor<?x2xf32>) {
  // expected-error @+1 {{expected no scales without swiglu, found some}}
  %0 = lfm2.experts %x, %w of 4 chosen(%e) scales(%s)
      : (tensor<?x8xf32>, tensor<12x4xf32>, tensor<?x2xi32>, tensor<?x2xf32>) -> tensor<?x3xf32>
  return
}

// -----

// experts (C5)
func.func @residual(%x: tensor<?x8xf32>, %w: tensor<12x4xf32>, %e: tensor<?x2xi32>, %r: tensor<?x4xf32>) {
  // expected-error @+1 {{expected a residual of type 'tensor<?x3xf32>', found 'tensor<?x4xf32>'}}
  %0 = lfm2.experts %x, %w of 4 chosen(%e) residual(%r)
      : (tensor<?x8xf32>, tensor<12x4xf32>, tensor<?x2xi32>, tensor<?x4xf32>) -> tensor<?x3xf32>
  return
}

// -----

// experts (C6)
func.func @quantized(%x: tensor<?x64xf32, #lfm2.quantized<32>>, %w: tensor<12x32xf32, #lfm2.stored<bf16>>, %e: tensor<?x2xi32>) {
  // expected-error @+1 {{expected x not to be quantized for this weight}}
  %0 = lfm2.experts %x, %w of 4 chosen(%e)
      : (tensor<?x64xf32, #lfm2.quantized<32>>, tensor<12x32xf32, #lfm2.stored<bf16>>, tensor<?x2xi32>) -> tensor<?x3xf32>
  return
}

// -----

// experts (C7)
func.func @tokens(%x: tensor<?x8xf32>, %w: tensor<12x4xf32>, %e: tensor<1x2xi32>) {
  // expected-error @+1 {{expected the row count of choice, scales and result to be ?, found 1}}
  %0 = lfm2.experts %x, %w of 4 chosen(%e) : (tensor<?x8xf32>, tensor<12x4xf32>, tensor<1x2xi32>) -> tensor<?x3xf32>
  return
}

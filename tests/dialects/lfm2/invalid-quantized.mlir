// RUN: lfmc-opt %s -split-input-file -verify-diagnostics

// stored (C5)
// expected-error @+1 {{expected a block of 32, 64 or 128 columns for weights stored as q4, found 0}}
func.func private @no_block(tensor<8x64xf32, #lfm2.stored<q4>>)

// -----

// stored (C5)
// expected-error @+1 {{expected a block of 32, 64 or 128 columns for weights stored as q8, found 16}}
func.func private @small_block(tensor<8x64xf32, #lfm2.stored<q8 block 16>>)

// -----

// stored (C5)
// expected-error @+1 {{expected no block for weights stored as bf16, found 32}}
func.func private @block_of_floats(tensor<8x64xf32, #lfm2.stored<bf16 block 32>>)

// -----

// stored (C5)
// expected-error @+1 {{expected a matrix whose columns are a multiple of 32, the block of its scales}}
func.func private @ragged(tensor<8x48xf32, #lfm2.stored<q4 block 32>>)

// -----

// quantized (C1)
// expected-error @+1 {{expected quantized rows of type f32 and rank 2, found rank 1 of 'f32'}}
func.func private @rank(tensor<64xf32, #lfm2.quantized<32>>)

// -----

// quantized (C2)
// expected-error @+1 {{expected a block of 32 that divides the width, found block 32 and width 40}}
func.func private @width(tensor<?x40xf32, #lfm2.quantized<32>>)

// -----

// linear (C6)
func.func @quantized_rows(%x: tensor<?x64xf32, #lfm2.quantized<32>>, %w: tensor<32x64xf32, #lfm2.stored<bf16>>) -> tensor<?x32xf32> {
  // expected-error @+1 {{expected x not to be quantized for this weight}}
  %y = lfm2.linear %x, %w : (tensor<?x64xf32, #lfm2.quantized<32>>, tensor<32x64xf32, #lfm2.stored<bf16>>) -> tensor<?x32xf32>
  return %y : tensor<?x32xf32>
}

// -----

// linear (C6)
func.func @norm(%x: tensor<?x64xf32, #lfm2.quantized<32>>, %w: tensor<32x64xf32, #lfm2.stored<q8 block 32>>, %g: tensor<64xf32>) -> tensor<?x32xf32> {
  // expected-error @+1 {{expected no norm of quantized rows, found one}}
  %y = lfm2.linear %x, %w norm(%g) {eps = 1.0e-05 : f64} : (tensor<?x64xf32, #lfm2.quantized<32>>, tensor<32x64xf32, #lfm2.stored<q8 block 32>>, tensor<64xf32>) -> tensor<?x32xf32>
  return %y : tensor<?x32xf32>
}

// -----

// quantize (C1)
func.func @plain(%x: tensor<?x64xf32>) -> tensor<?x64xf32> {
  // expected-error @+1 {{must be quantized rows or rows of bf16, but got 'tensor<?x64xf32>'}}
  %q = lfm2.quantize %x : (tensor<?x64xf32>) -> tensor<?x64xf32>
  return %q : tensor<?x64xf32>
}

// -----

// quantize (C2)
func.func @no_eps(%x: tensor<?x64xf32>, %g: tensor<64xf32>) -> tensor<?x64xf32, #lfm2.quantized<32>> {
  // expected-error @+1 {{expected eps with a norm weight, found none}}
  %q = lfm2.quantize %x norm(%g) : (tensor<?x64xf32>, tensor<64xf32>) -> tensor<?x64xf32, #lfm2.quantized<32>>
  return %q : tensor<?x64xf32, #lfm2.quantized<32>>
}

// -----

// linear (C6)
func.func @rounded_rows(%x: tensor<?x64xbf16>, %w: tensor<32x64xf32, #lfm2.stored<q8 block 32>>) -> tensor<?x32xf32> {
  // expected-error @+1 {{expected x not to be rounded to bf16 for this weight}}
  %y = lfm2.linear %x, %w : (tensor<?x64xbf16>, tensor<32x64xf32, #lfm2.stored<q8 block 32>>) -> tensor<?x32xf32>
  return %y : tensor<?x32xf32>
}

// -----

// linear (C6)
func.func @norm_of_rounded(%x: tensor<?x64xbf16>, %w: tensor<32x64xf32, #lfm2.stored<bf16>>, %g: tensor<64xf32>) -> tensor<?x32xf32> {
  // expected-error @+1 {{expected no norm of rounded rows, found one}}
  %y = lfm2.linear %x, %w norm(%g) {eps = 1.0e-05 : f64} : (tensor<?x64xbf16>, tensor<32x64xf32, #lfm2.stored<bf16>>, tensor<64xf32>) -> tensor<?x32xf32>
  return %y : tensor<?x32xf32>
}

// -----

// quantized_cache (C1)
// expected-error @+1 {{expected a quantized cache of type f32 and rank 3, found rank 3 of 'f16'}}
func.func private @element(tensor<64x2x32xf16, #lfm2.quantized_cache<64>>)

// -----

// quantized_cache (C2)
// expected-error @+1 {{expected blocks of positions that divide those of the cache, found blocks of 64 and 96 positions}}
func.func private @positions(tensor<96x2x32xf32, #lfm2.quantized_cache<64>>)

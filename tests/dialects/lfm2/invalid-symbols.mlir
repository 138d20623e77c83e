// RUN: lfmc-opt %s -split-input-file -verify-diagnostics

// weight (C1)
// expected-error @+1 {{expected a static ranked tensor of f32 with a #lfm2.stored encoding, found 'tensor<8x8xf32>'}}
lfm2.weight @w : tensor<8x8xf32> = #lfm2.source<"a">

// -----

// weight (C1)
// expected-error @+1 {{expected a static ranked tensor of f32 with a #lfm2.stored encoding, found 'tensor<?x8xf32, #lfm2.stored<f32>>'}}
lfm2.weight @w : tensor<?x8xf32, #lfm2.stored<f32>> = #lfm2.source<"a">

// -----

// weight (C1)
// expected-error @+1 {{expected a static ranked tensor of f32 with a #lfm2.stored encoding, found 'i32'}}
lfm2.weight @w : i32 = #lfm2.source<"a">

// -----

// weight (C2)
// expected-error @+1 {{expected a #lfm2.source or #lfm2.rope_table, found "a"}}
lfm2.weight @w : tensor<8x8xf32, #lfm2.stored<f32>> = "a"

// -----

// weight (C2): dim of the table
// expected-error @+1 {{expected dimension 1 of a rope table to be 4, found 8}}
lfm2.weight @w : tensor<8x8xf32, #lfm2.stored<f32>>
    = #lfm2.rope_table<<theta = 10.0 : f64, dim = 4>>

// -----

// weight (C2): rank of the table
// expected-error @+1 {{expected rank 2 for a rope table, found rank 1}}
lfm2.weight @w : tensor<8xf32, #lfm2.stored<f32>>
    = #lfm2.rope_table<<theta = 10.0 : f64, dim = 4>>

// -----

// state (C1)
// expected-error @+1 {{expected a static ranked tensor of f32 or f16, found 'tensor<?x8xf32>'}}
lfm2.state @s : tensor<?x8xf32>

// -----

// state (C1)
// expected-error @+1 {{expected a static ranked tensor of f32 or f16, found 'tensor<8x8xi8>'}}
lfm2.state @s per_token : tensor<8x8xi8>

// -----

// state (C1)
// expected-error @+1 {{expected a static ranked tensor of f32 or f16, found 'tensor<*xf32>'}}
lfm2.state @s : tensor<*xf32>

// -----

// param (C1)
func.func @missing() {
  // expected-error @+1 {{expected @nowhere to name an lfm2.weight}}
  %0 = lfm2.param @nowhere : tensor<8x8xf32, #lfm2.stored<f32>>
  return
}

// -----

// param (C1)
// expected-note @+1 {{symbol declared here}}
lfm2.state @s : tensor<8x8xf32>
func.func @no_weight() {
  // expected-error @+1 {{expected @s to name an lfm2.weight}}
  %0 = lfm2.param @s : tensor<8x8xf32>
  return
}

// -----

// param (C2)
// expected-note @+1 {{weight declared here}}
lfm2.weight @w : tensor<8x8xf32, #lfm2.stored<bf16>> = #lfm2.source<"a">
func.func @other_type() {
  // expected-error @+1 {{expected the weight's type 'tensor<8x8xf32, #lfm2.stored<bf16>>', found 'tensor<8x8xf32, #lfm2.stored<f32>>'}}
  %0 = lfm2.param @w : tensor<8x8xf32, #lfm2.stored<f32>>
  return
}

// -----

// factors (C1)
// expected-error @+1 {{expected lfm2.row_factors to be positive and finite, value 1 is not}}
lfm2.weight @w : tensor<2xf32, #lfm2.stored<f32>> = #lfm2.source<"a"> {lfm2.row_factors = array<f32: 2.0, 0.0>}

// -----

// factors (C2)
// expected-error @+1 {{expected 32 values of lfm2.column_factors, found 2}}
lfm2.weight @w : tensor<8x32xf32, #lfm2.stored<q4 block 32>> = #lfm2.source<"a"> {lfm2.column_factors = array<f32: 1.0, 1.0>}

// -----

// factors (C3)
// expected-error @+1 {{expected lfm2.row_factors to be array<f32>, on vectors and quantized matrices of a #lfm2.source only}}
lfm2.weight @w : tensor<2x2xf32, #lfm2.stored<f32>> = #lfm2.source<"a"> {lfm2.row_factors = array<f32: 2.0, 0.5>}

// -----

// state (C3)
// expected-error @+1 {{expected no encoding but #lfm2.quantized_cache, found #lfm2.quantized<32>}}
lfm2.state @s per_token : tensor<64x32xf32, #lfm2.quantized<32>>

// -----

// state (C2): lanes of a block of positions
// expected-error @+1 {{expected a per_token cache of rank 3 with a multiple of 16 positions for its layout}}
lfm2.state @s per_token : tensor<64x2x32xf32, #lfm2.quantized_cache<8>> layout <lanes = 16>

// RUN: lfmc-opt %s -split-input-file -verify-diagnostics

// panels (C1)
// expected-error @+2 {{failed to parse Lfm2_StoredAttr parameter 'layout'}}
// expected-error @+1 {{expected at least 1 row a panel, found 0}}
func.func private @panels_rows(tensor<8x8xf32, #lfm2.stored<bf16, <rows = 0, depth = 1>>>)

// -----

// panels (C2)
// expected-error @+2 {{failed to parse Lfm2_StoredAttr parameter 'layout'}}
// expected-error @+1 {{expected a depth of at least 1, found -2}}
func.func private @panels_depth(tensor<8x8xf32, #lfm2.stored<bf16, <rows = 1, depth = -2>>>)

// -----

// stored (C1)
// expected-error @+1 {{expected element type 'f32' for a stored weight, found 'bf16'}}
func.func private @stored_element(tensor<8x8xbf16, #lfm2.stored<bf16>>)

// -----

// stored (C2)
// expected-error @+1 {{expected rank 2 for a weight stored in panels, found rank 1}}
func.func private @stored_rank(tensor<8xf32, #lfm2.stored<bf16, <rows = 1, depth = 1>>>)

// -----

// stored (C3)
// expected-error @+1 {{expected a number of rows divisible by 16, the rows of a panel, found 24}}
func.func private @stored_rows(tensor<24x8xf32, #lfm2.stored<bf16, <rows = 16, depth = 1>>>)

// -----

// stored (C3): nothing is known to divide a dynamic dimension
// expected-error @+1 {{expected a number of rows divisible by 16, the rows of a panel, found ?}}
func.func private @stored_dynamic(tensor<?x8xf32, #lfm2.stored<bf16, <rows = 16, depth = 1>>>)

// -----

// stored (C3)
// expected-error @+1 {{expected an even number of rows a panel of two halves, found 3}}
func.func private @stored_halves(tensor<24x8xf32, #lfm2.stored<bf16, <rows = 3, depth = 1, halves = true>>>)

// -----

// stored (C6)
// expected-error @+1 {{expected 8-bit codes in panels that are raised, found q4}}
func.func private @stored_raised(tensor<64x32xf32, #lfm2.stored<q4 block 32, <rows = 64, depth = 4, raised = true>>>)

// -----

// stored (C4)
// expected-error @+1 {{expected a number of columns divisible by 4, the depth of a panel, found 6}}
func.func private @stored_depth(tensor<8x6xf32, #lfm2.stored<bf16, <rows = 8, depth = 4>>>)

// -----

// expected-error @+2 {{expected one of [f32, bf16, f16, q8, q4, q6, q4m] for element format of stored weights, got: q3}}
// expected-error @+1 {{failed to parse Lfm2_StoredAttr parameter 'kind'}}
func.func private @stored_kind(tensor<8x6xf32, #lfm2.stored<q3>>)

// -----

// rope (C1)
// expected-error @+1 {{expected a finite theta above 0, found 0}}
#r = #lfm2.rope<theta = 0.0 : f64, dim = 8>

// -----

// rope (C1)
// expected-error @+1 {{expected theta of type 'f64', found 'f32'}}
#r = #lfm2.rope<theta = 10.0 : f32, dim = 8>

// -----

// rope (C2)
// expected-error @+1 {{expected an even number of rotated elements, at least 2, found 7}}
#r = #lfm2.rope<theta = 10.0 : f64, dim = 7>

// -----

// rope (C2)
// expected-error @+1 {{expected an even number of rotated elements, at least 2, found 0}}
#r = #lfm2.rope<theta = 10.0 : f64, dim = 0>

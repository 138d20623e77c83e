// RUN: lfmc-opt %s -split-input-file -verify-diagnostics

// (D1)
// expected-error @+1 {{expected 'lfm2.state' of argument 1 to name an lfm2.state, found @nowhere}}
func.func private @missing(index, tensor<2x4xf32> {lfm2.state = @nowhere})

// -----

// (D1)
// expected-note @+1 {{symbol declared here}}
lfm2.weight @w : tensor<2x4xf32, #lfm2.stored<f32>> = #lfm2.source<"a">
// expected-error @+1 {{expected 'lfm2.state' of result 0 to name an lfm2.state, found @w}}
func.func private @weight() -> (tensor<2x4xf32> {lfm2.state = @w})

// -----

// (D1)
// expected-error @+1 {{expected 'lfm2.state' of argument 0 to name an lfm2.state, found "s"}}
func.func private @text(tensor<2x4xf32> {lfm2.state = "s"})

// -----

// (D1)
lfm2.state @s : tensor<2x4xf32>
// expected-error @+1 {{expected 'lfm2.state' on arguments and results only}}
func.func private @on_function() attributes {lfm2.state = @s}

// -----

// (D2)
// expected-note @+1 {{state declared here}}
lfm2.state @s : tensor<2x4xf32>
// expected-error @+1 {{expected argument 0 of type 'tensor<2x4xf32>', found 'tensor<2x4xf16>'}}
func.func private @type(tensor<2x4xf16> {lfm2.state = @s})

// -----

// expected-error @+1 {{'lfm2.size' has no meaning on argument 0}}
func.func private @unknown(tensor<2x4xf16> {lfm2.size = 3})

// -----

// (D3)
// expected-error @+1 {{expected 'lfm2.max_tokens' to be an i64 of at least 1, found 0 : i64}}
func.func private @none() attributes {lfm2.max_tokens = 0 : i64}

// -----

// (D3)
// expected-error @+1 {{expected 'lfm2.max_tokens' to be an i64 of at least 1, found "many"}}
func.func private @many() attributes {lfm2.max_tokens = "many"}

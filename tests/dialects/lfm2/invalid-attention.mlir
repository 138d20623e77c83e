// RUN: lfmc-opt %s -split-input-file -verify-diagnostics

// rope (C1)
func.func @rope_rank(%x: tensor<?x2x4xf32>, %pos: index) {
  // expected-error @+1 {{operand #0 must be rows of f32, one per token}}
  %0 = lfm2.rope %x at %pos head_dim 4 <theta = 10.0 : f64, dim = 4> : tensor<?x2x4xf32>
  return
}

// -----

// rope (C1)
func.func @rope_heads(%x: tensor<?x8xf32>, %pos: index) {
  // expected-error @+1 {{expected a row width divisible by head_dim 3, found 8}}
  %0 = lfm2.rope %x at %pos head_dim 3 <theta = 10.0 : f64, dim = 2> : tensor<?x8xf32>
  return
}

// -----

// rope (C1): no division by zero
func.func @rope_zero(%x: tensor<?x8xf32>, %pos: index) {
  // expected-error @+1 {{expected a row width divisible by head_dim 0, found 8}}
  %0 = lfm2.rope %x at %pos head_dim 0 <theta = 10.0 : f64, dim = 2> : tensor<?x8xf32>
  return
}

// -----

// rope (C2)
func.func @rope_dim(%x: tensor<?x8xf32>, %pos: index) {
  // expected-error @+1 {{expected at most 4 rotated elements, found 6}}
  %0 = lfm2.rope %x at %pos head_dim 4 <theta = 10.0 : f64, dim = 6> : tensor<?x8xf32>
  return
}

// -----

// rope (C2)
func.func @rope_odd(%x: tensor<?x8xf32>, %pos: index) {
  // expected-error @+1 {{expected an even number of rotated elements, at least 2, found 3}}
  %0 = lfm2.rope %x at %pos head_dim 4 <theta = 10.0 : f64, dim = 3> : tensor<?x8xf32>
  return
}

// -----

// cache_write (C1)
func.func @write_width(%x: tensor<?x9xf32>, %c: tensor<16x2x4xf32>, %pos: index) {
  // expected-error @+1 {{expected the width of x to be 8, found 9}}
  %0 = lfm2.cache_write %x into %c at %pos : tensor<?x9xf32>, tensor<16x2x4xf32>
  return
}

// -----

// rope_cache (C1)
func.func @k_width(%q: tensor<?x8xf32>, %k: tensor<?x4xf32>, %v: tensor<?x8xf32>, %g: tensor<4xf32>, %c: tensor<16x2x4xf32>, %pos: index) {
  // expected-error @+1 {{expected the width of k to be 8, found 4}}
  %0:3 = lfm2.rope_cache %q, %k, %v norm(%g, %g) into %c, %c at %pos eps 1.0e-05 <theta = 10.0 : f64, dim = 4> : (tensor<?x8xf32>, tensor<?x4xf32>, tensor<?x8xf32>, tensor<4xf32>, tensor<4xf32>, tensor<16x2x4xf32>, tensor<16x2x4xf32>, index) -> (tensor<?x8xf32>, tensor<16x2x4xf32>, tensor<16x2x4xf32>)
  return
}

// -----

// rope_cache (C1)
func.func @rows(%q: tensor<?x8xf32>, %k: tensor<1x8xf32>, %g: tensor<4xf32>, %c: tensor<16x2x4xf32>, %pos: index) {
  // expected-error @+1 {{expected the row count of k and v to be ?, found 1}}
  %0:3 = lfm2.rope_cache %q, %k, %k norm(%g, %g) into %c, %c at %pos eps 1.0e-05 <theta = 10.0 : f64, dim = 4> : (tensor<?x8xf32>, tensor<1x8xf32>, tensor<1x8xf32>, tensor<4xf32>, tensor<4xf32>, tensor<16x2x4xf32>, tensor<16x2x4xf32>, index) -> (tensor<?x8xf32>, tensor<16x2x4xf32>, tensor<16x2x4xf32>)
  return
}

// -----

// rope_cache (C2)
func.func @q_width(%q: tensor<?x10xf32>, %k: tensor<?x8xf32>, %g: tensor<4xf32>, %c: tensor<16x2x4xf32>, %pos: index) {
  // expected-error @+1 {{expected a width of q divisible by the head size 4, found 10}}
  %0:3 = lfm2.rope_cache %q, %k, %k norm(%g, %g) into %c, %c at %pos eps 1.0e-05 <theta = 10.0 : f64, dim = 4> : (tensor<?x10xf32>, tensor<?x8xf32>, tensor<?x8xf32>, tensor<4xf32>, tensor<4xf32>, tensor<16x2x4xf32>, tensor<16x2x4xf32>, index) -> (tensor<?x10xf32>, tensor<16x2x4xf32>, tensor<16x2x4xf32>)
  return
}

// -----

// rope_cache (C3)
func.func @norms(%q: tensor<?x8xf32>, %g: tensor<4xf32>, %h: tensor<8xf32>, %c: tensor<16x2x4xf32>, %pos: index) {
  // expected-error @+1 {{expected the size of a norm weight to be 4, found 8}}
  %0:3 = lfm2.rope_cache %q, %q, %q norm(%g, %h) into %c, %c at %pos eps 1.0e-05 <theta = 10.0 : f64, dim = 4> : (tensor<?x8xf32>, tensor<?x8xf32>, tensor<?x8xf32>, tensor<4xf32>, tensor<8xf32>, tensor<16x2x4xf32>, tensor<16x2x4xf32>, index) -> (tensor<?x8xf32>, tensor<16x2x4xf32>, tensor<16x2x4xf32>)
  return
}

// -----

// rope_cache (C4)
func.func @eps(%q: tensor<?x8xf32>, %g: tensor<4xf32>, %c: tensor<16x2x4xf32>, %pos: index) {
  // expected-error @+1 {{expected a finite eps above 0, found -1}}
  %0:3 = lfm2.rope_cache %q, %q, %q norm(%g, %g) into %c, %c at %pos eps -1.0 <theta = 10.0 : f64, dim = 4> : (tensor<?x8xf32>, tensor<?x8xf32>, tensor<?x8xf32>, tensor<4xf32>, tensor<4xf32>, tensor<16x2x4xf32>, tensor<16x2x4xf32>, index) -> (tensor<?x8xf32>, tensor<16x2x4xf32>, tensor<16x2x4xf32>)
  return
}

// -----

// rope_cache (C5)
func.func @dim(%q: tensor<?x8xf32>, %g: tensor<4xf32>, %c: tensor<16x2x4xf32>, %pos: index) {
  // expected-error @+1 {{expected at most 4 rotated elements, found 8}}
  %0:3 = lfm2.rope_cache %q, %q, %q norm(%g, %g) into %c, %c at %pos eps 1.0e-05 <theta = 10.0 : f64, dim = 8> : (tensor<?x8xf32>, tensor<?x8xf32>, tensor<?x8xf32>, tensor<4xf32>, tensor<4xf32>, tensor<16x2x4xf32>, tensor<16x2x4xf32>, index) -> (tensor<?x8xf32>, tensor<16x2x4xf32>, tensor<16x2x4xf32>)
  return
}

// -----

// rope_cache (C6)
func.func @caches(%q: tensor<?x8xf32>, %g: tensor<4xf32>, %c: tensor<16x2x4xf32>, %d: tensor<16x2x4xf16>, %pos: index) {
  // expected-error @+1 {{expected a v cache of type 'tensor<16x2x4xf32>', found 'tensor<16x2x4xf16>'}}
  %0:3 = lfm2.rope_cache %q, %q, %q norm(%g, %g) into %c, %d at %pos eps 1.0e-05 <theta = 10.0 : f64, dim = 4> : (tensor<?x8xf32>, tensor<?x8xf32>, tensor<?x8xf32>, tensor<4xf32>, tensor<4xf32>, tensor<16x2x4xf32>, tensor<16x2x4xf16>, index) -> (tensor<?x8xf32>, tensor<16x2x4xf32>, tensor<16x2x4xf16>)
  return
}

// -----

// attention (C1)
func.func @attention_caches(%q: tensor<?x8xf32>, %k: tensor<16x2x4xf32>, %v: tensor<8x2x4xf32>, %pos: index) {
  // expected-error @+1 {{expected a v cache of type 'tensor<16x2x4xf32>', found 'tensor<8x2x4xf32>'}}
  %0 = lfm2.attention %q, %k, %v at %pos scale 0.5 : tensor<?x8xf32>, tensor<16x2x4xf32>, tensor<8x2x4xf32>
  return
}

// -----

// attention (C2)
func.func @attention_q(%q: tensor<?x12xf32>, %k: tensor<16x2x4xf32>, %pos: index) {
  // expected-error @+1 {{expected a width of q divisible by 8, the width of the cache's heads, found 12}}
  %0 = lfm2.attention %q, %k, %k at %pos scale 0.5 : tensor<?x12xf32>, tensor<16x2x4xf32>, tensor<16x2x4xf32>
  return
}

// -----

// attention (C3)
func.func @attention_scale(%q: tensor<?x8xf32>, %k: tensor<16x2x4xf32>, %pos: index) {
  // expected-error @+1 {{expected a finite scale above 0, found 0}}
  %0 = lfm2.attention %q, %k, %k at %pos scale 0.0 : tensor<?x8xf32>, tensor<16x2x4xf32>, tensor<16x2x4xf32>
  return
}

// -----

// attention (C4)
func.func @attention_window(%q: tensor<?x8xf32>, %k: tensor<16x2x4xf32>, %pos: index) {
  // expected-error @+1 {{expected a window of at least 1 position, found 0}}
  %0 = lfm2.attention %q, %k, %k at %pos scale 0.5 window 0 : tensor<?x8xf32>, tensor<16x2x4xf32>, tensor<16x2x4xf32>
  return
}

// -----

// attention (C2), cache_write (C1): sizes that overflow are no widths
func.func @overflow(%q: tensor<?x8xf32>, %k: tensor<1x4611686018427387904x4xf32>, %pos: index) {
  // expected-error @+1 {{expected the width of x to be 0, found 8}}
  %0 = lfm2.cache_write %q into %k at %pos : tensor<?x8xf32>, tensor<1x4611686018427387904x4xf32>
  return
}

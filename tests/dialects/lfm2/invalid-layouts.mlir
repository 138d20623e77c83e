// RUN: lfmc-opt %s -split-input-file -verify-diagnostics

// cache_layout (C1)
// expected-error @+1 {{expected at least 1 lane, found 0}}
lfm2.state @k per_token : tensor<64x2x8xf32> layout <lanes = 0>

// -----

// state (C2)
// expected-error @+1 {{expected a per_token cache of rank 3 with a multiple of 16 positions for its layout}}
lfm2.state @k : tensor<64x2x8xf32> layout <lanes = 16>

// -----

// state (C2)
// expected-error @+1 {{expected a per_token cache of rank 3 with a multiple of 16 positions for its layout}}
lfm2.state @k per_token : tensor<40x2x8xf32> layout <lanes = 16>

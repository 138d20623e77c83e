// RUN: lfmc-opt %s --lfmc-select-kernels=target=pdp-11 -split-input-file -verify-diagnostics

// expected-error @+1 {{unknown target 'pdp-11': expected one of host, x86-64-v2}}
module {
}

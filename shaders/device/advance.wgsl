// SPDX-License-Identifier: MIT OR Apache-2.0
// Moves the state of a pipeline on by some subsequences, modulo 2^64. Host side: src/gpu/device_call.rs.

@group(0) @binding(0) var<storage, read_write> state: array<u32>;  // seed low, high, subsequence low, high
@group(0) @binding(1) var<uniform> by: vec4<u32>;                  // low, high

@compute @workgroup_size(1)
fn main() {
    let low = state[2] + by.x;
    state[2] = low;
    state[3] += by.y + select(0u, 1u, low < by.x);
}

// SPDX-License-Identifier: MIT OR Apache-2.0
// A gradient of f32: four columns are four words. Expects nothing.

alias Packed = vec4<u32>;

const DBIAS_PER_WORD: u32 = 1u;

fn packed(values: vec4<u32>) -> Packed {
    return values;
}

// SPDX-License-Identifier: MIT OR Apache-2.0
// A gradient of 16-bit elements: four columns are two words. Expects nothing.

alias Packed = vec2<u32>;

const DBIAS_PER_WORD: u32 = 2u;

fn packed(values: vec4<u32>) -> Packed {
    return (values.xz >> vec2<u32>(16u)) | values.yw;
}

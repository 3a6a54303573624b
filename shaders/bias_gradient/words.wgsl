// SPDX-License-Identifier: MIT OR Apache-2.0
// Four f32 elements: four words. Expects nothing.

const ELEMENTS_PER_WORD: u32 = 1u;

alias Quad = vec4<u32>;

fn unpacked(quad: Quad) -> vec4<u32> {
    return quad;
}

fn packed(values: vec4<u32>) -> Quad {
    return values;
}

// The element of a word, left-aligned.
fn element_of(word: u32, index: u32) -> u32 {
    return word;
}

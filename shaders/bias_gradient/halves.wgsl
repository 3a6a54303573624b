// SPDX-License-Identifier: MIT OR Apache-2.0
// Four 16-bit elements: two words. Expects halves.wgsl of the elements.

alias Quad = vec2<u32>;

fn unpacked(quad: Quad) -> vec4<u32> {
    return unpack(quad);
}

fn packed(values: vec4<u32>) -> Quad {
    return (values.xz >> vec2<u32>(16u)) | values.yw;
}

// The element of a word, left-aligned.
fn element_of(word: u32, index: u32) -> u32 {
    return select(word << 16u, word & 0xffff0000u, (index & 1u) == 1u);
}

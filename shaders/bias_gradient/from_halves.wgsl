// SPDX-License-Identifier: MIT OR Apache-2.0
// Rows of 16-bit elements: four columns are two words. Expects halves.wgsl of the elements, widened_any of the element type as
// f32, outside_halves of its file.

alias Quad = vec2<u32>;

const DX_PER_WORD: u32 = 2u;
const MISSING: u32 = 0x80008000u;  // minus zeros: x + -0 is x for every x

fn quad_from(elements: vec4<u32>) -> Quad {
    return (elements.xz >> vec2<u32>(16u)) | elements.yw;
}

// The element of a word, left-aligned.
fn element_of(word: u32, index: u32) -> u32 {
    return select(word << 16u, word & 0xffff0000u, (index & 1u) == 1u);
}

fn widened_exact(quad: Quad) -> vec4<u32> {
    return widened_any(unpack(quad));
}

// Whether some element is one that widened_fast or plus_fast can't be trusted with.
fn is_outside(rows: Rows) -> bool {
    let outside = outside_halves(rows.a) | outside_halves(rows.b) | outside_halves(rows.c) | outside_halves(rows.d);
    return ((outside.x | outside.y) & 0x80008000u) != 0u;
}

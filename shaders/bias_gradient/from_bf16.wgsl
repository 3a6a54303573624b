// SPDX-License-Identifier: MIT OR Apache-2.0
// Rows of bf16: an f32's upper half. Expects from_halves.wgsl; LEAST and GREATEST of sums.wgsl.

fn widened_fast(quad: Quad) -> vec4<u32> {
    return unpack(quad);
}

// Bit 15 and bit 31 of a word: whether the element in its half is neither zero nor in range. Sums of halves, none of which
// carries into the next.
fn outside_halves(quad: Quad) -> Quad {
    let magnitudes = quad & Quad(0x7fff7fffu);
    let above = magnitudes + Quad((0x7fffu - (GREATEST >> 16u)) * 0x10001u);
    let below = ~(magnitudes + Quad((0x8000u - (LEAST >> 16u)) * 0x10001u));
    let not_zero = magnitudes + Quad(0x7fff7fffu);
    return above | (below & not_zero);
}

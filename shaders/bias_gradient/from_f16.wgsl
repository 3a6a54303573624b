// SPDX-License-Identifier: MIT OR Apache-2.0
// Rows of f16. Expects from_halves.wgsl, as_f16.wgsl.

// Of what is finite.
fn widened_fast(quad: Quad) -> vec4<u32> {
    return widened(unpack(quad));
}

// Bit 15 and bit 31 of a word: whether the element in its half is infinite or NaN. All others are zero or from 2^-24 to 2^16.
fn outside_halves(quad: Quad) -> Quad {
    return (quad & Quad(0x7fff7fffu)) + Quad(0x04000400u);
}

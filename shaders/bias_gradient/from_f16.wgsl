// SPDX-License-Identifier: MIT OR Apache-2.0
// Rows of f16. Expects from_halves.wgsl, REBIAS of as_f16.wgsl.

// Of what is finite. A subnormal one is its fraction behind an implicit one, less that one: numbers that are normal as f32.
// Converting it from an integer would be dear on GPUs.
fn widened_fast(quad: Quad) -> vec4<u32> {
    let x = unpack(quad);
    let magnitude = x & vec4<u32>(0x7fff0000u);
    let normal = (magnitude >> vec4<u32>(3u)) + vec4<u32>(REBIAS);
    let least_normal = bitcast<f32>(REBIAS + 0x00800000u);  // 2^-14
    let subnormal = bitcast<vec4<u32>>(bitcast<vec4<f32>>(normal + vec4<u32>(0x00800000u)) - least_normal);
    return select(normal, subnormal, magnitude < vec4<u32>(0x04000000u)) | (x ^ magnitude);
}

// Bit 15 and bit 31 of a word: whether the element in its half is infinite or NaN. All others are zero or from 2^-24 to 2^16.
fn outside_halves(quad: Quad) -> Quad {
    return (quad & Quad(0x7fff7fffu)) + Quad(0x04000400u);
}

// SPDX-License-Identifier: MIT OR Apache-2.0
// Which tiles of f16 elements, two a word, the fast way takes: those of numbers that are finite, whatever the scale. Expects
// nothing.

// Bit 15 and bit 31 of a word: whether the element in its half is infinite or NaN.
fn outside_fast_range(x: vec4<u32>) -> bool {
    let outside = (x & vec4<u32>(0x7fff7fffu)) + vec4<u32>(0x04000400u);
    return ((outside.x | outside.y | outside.z | outside.w) & 0x80008000u) != 0u;
}

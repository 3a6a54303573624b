// SPDX-License-Identifier: MIT OR Apache-2.0
// f16 elements, left-aligned, as f32 and back: by sums of f32 that are exact or round where an f16 does, so that subnormal ones
// take the same way as others, and no number on it is subnormal as an f32. Expects nothing.

const NAN: u32 = 0x7e000000u;           // the canonical one
const REBIAS: u32 = 0x38000000u;        // (127 - 15) << 23: exponent bias of f32 over f16, in f32's place
const LEAST_NORMAL: u32 = 0x38800000u;  // 2^-14 as an f32
const ABOVE_ALL: f32 = 65536.0;         // becomes infinity, as all does that rounds to it

// Of the magnitude of an f16 that is finite, 13 places to the left, where an f32 has it. The sign of a zero is left open.
fn widened_magnitude(magnitude: vec4<u32>) -> vec4<f32> {
    // A normal one is right with the other bias. A subnormal one s has become 2^-15 + s / 2, by an implicit bit that it does not
    // have: what that lacks to 2^-14 is taken off once more.
    let biased = bitcast<vec4<f32>>(magnitude + vec4<u32>(REBIAS));
    return biased - positive_part(vec4<f32>(bitcast<f32>(LEAST_NORMAL)) - biased);
}

// What the sum below has above the bits of an f16.
const RAISE: u32 = 0x06800000u + (LEAST_NORMAL >> 13u);
const RAISE_OF_TWO: u32 = RAISE + ((RAISE & 0xffffu) << 16u);  // two elements in a word

// The bits of an f16, and RAISE, of numbers from 0 to ABOVE_ALL; rounded to nearest even. Not for a product as it comes: a driver
// may make it and the sum one operation.
fn narrowed_raised(x: vec4<f32>) -> vec4<u32> {
    // Next to 2^13 times the power of two below x, f32 are as far apart as f16 are next to x. None is closer than 2^-24.
    let field = bitcast<vec4<i32>>(x) & vec4<i32>(0x7f800000);
    let exponent = bitcast<vec4<u32>>(max(field, vec4<i32>(i32(LEAST_NORMAL))));
    let rounded = bitcast<vec4<u32>>(x + bitcast<vec4<f32>>(exponent) * 8192.0);
    return rounded - exponent + (exponent >> vec4<u32>(13u));
}

// Of a number that is finite: normal as an f32, or zero.
fn widened(x: vec4<u32>) -> vec4<u32> {
    let magnitude = x & vec4<u32>(0x7fff0000u);
    let wide = bitcast<vec4<u32>>(widened_magnitude(magnitude >> vec4<u32>(3u)));
    return (wide & vec4<u32>(0x7fffffffu)) | (x ^ magnitude);
}

// Of any number.
fn widened_any(x: vec4<u32>) -> vec4<u32> {
    let magnitude = x & vec4<u32>(0x7fff0000u);
    let fraction = (magnitude & vec4<u32>(0x03ff0000u)) >> vec4<u32>(3u);
    let special = (x ^ magnitude) | vec4<u32>(0x7f800000u) | fraction;
    return select(widened(x), special, magnitude >= vec4<u32>(0x7c000000u));
}

// Of any number but NaN; what is too great becomes infinite. To nearest even.
fn narrowed(x: vec4<u32>) -> vec4<u32> {
    let magnitude = min(x & vec4<u32>(0x7fffffffu), vec4<u32>(bitcast<u32>(ABOVE_ALL)));
    let narrow = narrowed_raised(bitcast<vec4<f32>>(magnitude)) - vec4<u32>(RAISE);
    return (narrow << vec4<u32>(16u)) | (x & vec4<u32>(0x80000000u));
}

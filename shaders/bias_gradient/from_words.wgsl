// SPDX-License-Identifier: MIT OR Apache-2.0
// Rows of f32: four columns are four words. Expects Rows, LEAST and GREATEST of sums.wgsl.

alias Quad = vec4<u32>;

const DX_PER_WORD: u32 = 1u;
const MISSING: u32 = 0x80000000u;  // minus zero: x + -0 is x for every x

fn quad_from(elements: vec4<u32>) -> Quad {
    return elements;
}

// The element of a word, left-aligned.
fn element_of(word: u32, index: u32) -> u32 {
    return word;
}

fn widened_fast(quad: Quad) -> vec4<u32> {
    return quad;
}

fn widened_exact(quad: Quad) -> vec4<u32> {
    return quad;
}

// Whether some element is one that plus_fast can't be trusted with.
fn is_outside(rows: Rows) -> bool {
    let magnitude = Quad(~SIGN);
    let one = Quad(1u);
    let a = rows.a & magnitude;
    let b = rows.b & magnitude;
    let c = rows.c & magnitude;
    let d = rows.d & magnitude;
    let greatest = max(max(a, b), max(c, d));
    // Zero wraps to the top, out of the way of the least.
    let least = min(min(a - one, b - one), min(c - one, d - one));
    return any(greatest > Quad(GREATEST)) || any(least < Quad(LEAST - 1u));
}

// SPDX-License-Identifier: MIT OR Apache-2.0
// A tile: consecutive elements, the unit in which an invocation works. Tile t of a dispatch holds its local elements
// [TILE t, TILE t + TILE). Expects TILE of the tile file: 16, 8 or 4.

// Four elements each. What follows are values of four quads; a smaller tile has the first of them, and compilers drop what
// makes the others, for nothing stores it.
const QUADS: u32 = TILE / 4u;

// Tiles whose bits are a word of a bit mask.
const TILES_PER_WORD: u32 = 32u / TILE;

// Element bits, left-aligned: f32 as it is, 16-bit types in the upper half of the word.
struct Tile {
    a: vec4<u32>,
    b: vec4<u32>,
    c: vec4<u32>,
    d: vec4<u32>,
}

// Keep decisions of the same elements.
struct Keep {
    a: vec4<bool>,
    b: vec4<bool>,
    c: vec4<bool>,
    d: vec4<bool>,
}

fn keep_same(keep: bool) -> Keep {
    let same = vec4<bool>(keep);
    return Keep(same, same, same, same);
}

// The low 16 bits of bits, least significant first.
fn keep_from_bits(bits: u32) -> Keep {
    let lanes = vec4<u32>(1u, 2u, 4u, 8u);
    let none = vec4<u32>(0u);
    return Keep(
        (vec4<u32>(bits) & lanes) != none,
        (vec4<u32>(bits >> 4u) & lanes) != none,
        (vec4<u32>(bits >> 8u) & lanes) != none,
        (vec4<u32>(bits >> 12u) & lanes) != none,
    );
}

fn bits_from_keep(keep: Keep) -> u32 {
    let none = vec4<u32>(0u);
    let lanes = vec4<u32>(1u, 2u, 4u, 8u);
    let q = select(none, lanes, keep.a)
        | select(none, lanes << vec4<u32>(4u), keep.b)
        | select(none, lanes << vec4<u32>(8u), keep.c)
        | select(none, lanes << vec4<u32>(12u), keep.d);
    return q.x | q.y | q.z | q.w;
}

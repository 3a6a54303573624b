// SPDX-License-Identifier: MIT OR Apache-2.0
// What one dispatch is told. Host side: `Params` in src/gpu/params.rs; a test holds the two layouts equal.
// Expects nothing; `params` itself is declared by params/immediates.wgsl or params/uniform.wgsl.

struct Params {
    seed: vec2<u32>,         // low, high
    subsequence: vec2<u32>,  // low, high
    origin: vec2<u32>,       // Philox block of local element 0, or with an index map its global index: low, high
    word_shift: u32,         // where local element 0 starts in that block: whole words ...
    bit_shift: u32,          // ... and bits
    drop_all: u32,           // all ones where p = 1, so that no random integer is <= keep_limit; else 0
    keep_limit: u32,         // threshold - 1: kept iff the element's integer is <= this
    scale: u32,              // bits of the f32 factor
    fast_min: u32,           // |x| in [fast_min, fast_max] (left-aligned bits): x and x * scale are
    fast_max: u32,           //     finite and normal, so the hardware's multiply is exact
    quiet: u32,              // set in a kept NaN (left-aligned bits)
    elements: u32,           // elements from the window's first to this dispatch's last
    first_invocation: u32,   // number, in the window, of the dispatch's first invocation
}

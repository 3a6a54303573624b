// SPDX-License-Identifier: MIT OR Apache-2.0
// Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011), cut after its first
// round: what neighbouring blocks have in common is then computed once for all of them.
// Twin: src/philox.rs. Expects multiply_wide, last_rounds of the rounds file, params.

const WEYL = vec2<u32>(0x9E3779B9u, 0xBB67AE85u);

fn philox_round(counter: vec4<u32>, key: vec2<u32>) -> vec4<u32> {
    let a = multiply_wide(0xD2511F53u, counter.x);
    let b = multiply_wide(0xCD9E8D57u, counter.z);
    return vec4<u32>(b.y ^ counter.y ^ key.x, b.x, a.y ^ counter.w ^ key.y, a.x);
}

// What blocks with the same upper word (and seed and subsequence) have in common.
struct Neighbours {
    word: u32,             // word 1 after the first round
    product: vec2<u32>,    // of word 0 after the first round, for the second
}

// Two blocks.
struct Pair {
    a: vec4<u32>,
    b: vec4<u32>,
}

fn neighbours(seed: vec2<u32>, upper_word: u32) -> Neighbours {
    let b = multiply_wide(0xCD9E8D57u, params.subsequence.x);
    return Neighbours(b.x, multiply_wide(0xD2511F53u, b.y ^ upper_word ^ seed.x));
}

// The first two rounds of the block with this lower word among them, as far as they are the block's own.
fn first_rounds(seed: vec2<u32>, shared_by: Neighbours, lower_word: u32) -> vec4<u32> {
    let a = multiply_wide(0xD2511F53u, lower_word);
    let b = multiply_wide(0xCD9E8D57u, a.y ^ params.subsequence.y ^ seed.y);
    let key = seed + WEYL;
    let product = shared_by.product;
    return vec4<u32>(b.y ^ shared_by.word ^ key.x, b.x, product.y ^ a.x ^ key.y, product.x);
}

fn philox4x32_10(seed: vec2<u32>, shared_by: Neighbours, lower_word: u32) -> vec4<u32> {
    return last_rounds(seed, first_rounds(seed, shared_by, lower_word));
}

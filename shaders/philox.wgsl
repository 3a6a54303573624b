// SPDX-License-Identifier: MIT OR Apache-2.0
// Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011) and the
// stream of 128-bit blocks that a dispatch draws from.
// Twin: src/philox.rs. Expects multiply_wide and params.

fn philox_round(counter: vec4<u32>, key: vec2<u32>) -> vec4<u32> {
    let a = multiply_wide(0xD2511F53u, counter.x);
    let b = multiply_wide(0xCD9E8D57u, counter.z);
    return vec4<u32>(b.y ^ counter.y ^ key.x, b.x, a.y ^ counter.w ^ key.y, a.x);
}

fn philox4x32_10(counter: vec4<u32>, key: vec2<u32>) -> vec4<u32> {
    const WEYL = vec2<u32>(0x9E3779B9u, 0xBB67AE85u);
    // Written out: a loop would carry a bound check that keeps compilers from unrolling it.
    var c = philox_round(counter, key);
    c = philox_round(c, key + WEYL);
    c = philox_round(c, key + 2u * WEYL);
    c = philox_round(c, key + 3u * WEYL);
    c = philox_round(c, key + 4u * WEYL);
    c = philox_round(c, key + 5u * WEYL);
    c = philox_round(c, key + 6u * WEYL);
    c = philox_round(c, key + 7u * WEYL);
    c = philox_round(c, key + 8u * WEYL);
    c = philox_round(c, key + 9u * WEYL);
    return c;
}

// Block number params.first_block + block of this dispatch's subsequence.
fn draw_block(block: u32) -> vec4<u32> {
    let low = params.first_block.x + block;
    let high = params.first_block.y + select(0u, 1u, low < block);
    return philox4x32_10(vec4<u32>(low, high, params.subsequence), params.seed);
}

// True where local element 0 is the first of its block, so that tiles and blocks coincide.
fn stream_is_aligned() -> bool {
    return (params.word_shift | params.bit_shift) == 0u;
}

// The 128 bits that start word_shift words and bit_shift bits into the 256 bits of a, b.
fn stream_shifted(a: vec4<u32>, b: vec4<u32>) -> vec4<u32> {
    var these = a;
    var next = vec4<u32>(a.yzw, b.x);
    switch params.word_shift {
        case 0u: {}
        case 1u: {
            these = next;
            next = vec4<u32>(a.zw, b.xy);
        }
        case 2u: {
            these = vec4<u32>(a.zw, b.xy);
            next = vec4<u32>(a.w, b.xyz);
        }
        default: {
            these = vec4<u32>(a.w, b.xyz);
            next = b;
        }
    }
    if params.bit_shift == 0u {
        return these;
    }
    return (these >> vec4<u32>(params.bit_shift)) | (next << vec4<u32>(32u - params.bit_shift));
}

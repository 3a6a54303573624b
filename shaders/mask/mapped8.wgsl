// SPDX-License-Identifier: MIT OR Apache-2.0
// The decisions of a block drawn with 8 random bits an element, as bits: lane l is bit l.
// Expects params.

const LANE_BITS: u32 = 4u;

fn kept_bytes(word: u32) -> u32 {
    let bytes = (vec4<u32>(word | params.drop_all) >> vec4<u32>(0u, 8u, 16u, 24u)) & vec4<u32>(0xffu);
    let bits = select(vec4<u32>(0u), vec4<u32>(1u, 2u, 4u, 8u), bytes <= vec4<u32>(params.keep_limit));
    return bits.x | bits.y | bits.z | bits.w;
}

fn kept_lanes(words: vec4<u32>) -> u32 {
    return kept_bytes(words.x) | (kept_bytes(words.y) << 4u) | (kept_bytes(words.z) << 8u) | (kept_bytes(words.w) << 12u);
}

// SPDX-License-Identifier: MIT OR Apache-2.0
// The decisions of a block drawn with 32 random bits an element, as bits: lane l is bit l.
// Expects params.

const LANE_BITS: u32 = 2u;

fn kept_lanes(words: vec4<u32>) -> u32 {
    let is_kept = (words | vec4<u32>(params.drop_all)) <= vec4<u32>(params.keep_limit);
    let bits = select(vec4<u32>(0u), vec4<u32>(1u, 2u, 4u, 8u), is_kept);
    return bits.x | bits.y | bits.z | bits.w;
}

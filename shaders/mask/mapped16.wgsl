// SPDX-License-Identifier: MIT OR Apache-2.0
// The decisions of a block drawn with 16 random bits an element, as bits: lane l is bit l.
// Expects params.

const LANE_BITS: u32 = 3u;

fn kept_lanes(block: vec4<u32>) -> u32 {
    let words = block | vec4<u32>(params.drop_all);
    let limit = vec4<u32>(params.keep_limit);
    let low = select(vec4<u32>(0u), vec4<u32>(1u, 4u, 16u, 64u), (words & vec4<u32>(0xffffu)) <= limit);
    let high = select(vec4<u32>(0u), vec4<u32>(2u, 8u, 32u, 128u), (words >> vec4<u32>(16u)) <= limit);
    let bits = low | high;
    return bits.x | bits.y | bits.z | bits.w;
}

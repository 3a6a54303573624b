// SPDX-License-Identifier: MIT OR Apache-2.0
// The last eight of Philox's ten rounds, written out: with 64-bit multiplies they are short, and next to them a loop's bound
// check would not be; and GPUs are faster without it in any case. Expects philox_round, Pair and WEYL of philox.wgsl.

fn last_rounds(seed: vec2<u32>, begun: vec4<u32>) -> vec4<u32> {
    var block = philox_round(begun, seed + 2u * WEYL);
    block = philox_round(block, seed + 3u * WEYL);
    block = philox_round(block, seed + 4u * WEYL);
    block = philox_round(block, seed + 5u * WEYL);
    block = philox_round(block, seed + 6u * WEYL);
    block = philox_round(block, seed + 7u * WEYL);
    block = philox_round(block, seed + 8u * WEYL);
    return philox_round(block, seed + 9u * WEYL);
}

fn last_rounds_of_two(seed: vec2<u32>, begun: Pair) -> Pair {
    return Pair(last_rounds(seed, begun.a), last_rounds(seed, begun.b));
}

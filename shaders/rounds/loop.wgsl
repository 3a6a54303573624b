// SPDX-License-Identifier: MIT OR Apache-2.0
// The last eight of Philox's ten rounds, two at a time until the key is that of the last one. Compilers don't know how often
// that is, and so don't write emulated multiplies out for every round: drivers take up to half as long over a kernel.
// Expects philox_round, Pair and WEYL of philox.wgsl.

fn two_rounds(key: vec2<u32>, begun: vec4<u32>) -> vec4<u32> {
    return philox_round(philox_round(begun, key + WEYL), key + 2u * WEYL);
}

fn last_rounds(seed: vec2<u32>, begun: vec4<u32>) -> vec4<u32> {
    var block = begun;
    var key = seed + WEYL;
    // Not with the condition in a continuing block: llvmpipe takes a fifth longer then.
    loop {
        block = two_rounds(key, block);
        key += 2u * WEYL;
        if key.x == seed.x + 9u * WEYL.x {
            break;
        }
    }
    return block;
}

// Of two blocks at once, for one alone waits for its products.
fn last_rounds_of_two(seed: vec2<u32>, begun: Pair) -> Pair {
    var blocks = begun;
    var key = seed + WEYL;
    loop {
        blocks.a = two_rounds(key, blocks.a);
        blocks.b = two_rounds(key, blocks.b);
        key += 2u * WEYL;
        if key.x == seed.x + 9u * WEYL.x {
            break;
        }
    }
    return blocks;
}

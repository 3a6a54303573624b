// SPDX-License-Identifier: MIT OR Apache-2.0
// 16-bit elements where the hardware's multiply can't be trusted. Expects scale_exact of the element file.

// A word of the output; the lowest two bits of keep decide.
fn decided_exact(word: u32, keep: u32) -> u32 {
    let low = select(0u, scale_exact(word << 16u), (keep & 1u) == 1u);
    let high = select(0u, scale_exact(word & 0xffff0000u), (keep & 2u) == 2u);
    return (low >> 16u) | high;
}

// SPDX-License-Identifier: MIT OR Apache-2.0
// Single elements of 16 bits: two a word, the first in the low half. Expects the fused extent file.

fn bias_element(column: u32) -> u32 {
    return element_of(bias_word(column / 2u), column);
}

// The element of a word, left-aligned.
fn element_of(word: u32, index: u32) -> u32 {
    return select(word << 16u, word & 0xffff0000u, (index & 1u) == 1u);
}

// The word once the element is there too, which come in order.
fn joined(word: u32, element: u32, index: u32) -> u32 {
    return select(element >> 16u, word | element, (index & 1u) == 1u);
}

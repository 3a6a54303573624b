// SPDX-License-Identifier: MIT OR Apache-2.0
// A dispatch of whole tiles: 128-bit loads and stores, none of them guarded.

alias Cell = vec4<u32>;

// The index of a word of so many elements: none is past the end here.
fn within(index: u32, elements_per_word: u32) -> u32 {
    return index;
}

// Words [4 index, 4 index + 4) of x.
fn load_words(index: u32) -> vec4<u32> {
    return x_cell(index);
}

fn load_word(index: u32) -> u32 {
    return x_cell(index / 4u)[index % 4u];
}

fn store_word(index: u32, word: u32) {
    y[index / 4u][index % 4u] = word;
}

fn store_words(index: u32, words: vec4<u32>) {
    y[index] = words;
}

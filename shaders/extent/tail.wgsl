// SPDX-License-Identifier: MIT OR Apache-2.0
// A dispatch of any length: word by word, and nothing past the last element is written, not even the
// other half of a word that holds one 16-bit element.
// Expects ELEMENTS_PER_WORD of the element file.

alias Cell = u32;

// Words [4 index, 4 index + 4) of x. Those past the end read as anything; store_words leaves them out.
fn load_words(index: u32) -> vec4<u32> {
    let first = index * 4u;
    return vec4<u32>(x_cell(first), x_cell(first + 1u), x_cell(first + 2u), x_cell(first + 3u));
}

fn load_word(index: u32) -> u32 {
    return x_cell(index);
}

fn store_word(index: u32, word: u32) {
    let whole_words = params.elements / ELEMENTS_PER_WORD;
    if index < whole_words {
        y[index] = word;
    } else if index == whole_words && params.elements % ELEMENTS_PER_WORD != 0u {
        y[index] = (y[index] & 0xffff0000u) | (word & 0xffffu);
    }
}

fn store_words(index: u32, words: vec4<u32>) {
    let first = index * 4u;
    store_word(first, words.x);
    store_word(first + 1u, words.y);
    store_word(first + 2u, words.z);
    store_word(first + 3u, words.w);
}

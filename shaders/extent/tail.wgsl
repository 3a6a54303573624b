// SPDX-License-Identifier: MIT OR Apache-2.0
// A dispatch of any length: word by word, and nothing past the last element is written, not even the
// other half of a word that holds one 16-bit element.
// Expects ELEMENTS_PER_WORD of the element file.

alias Cell = u32;

// The index of a word of so many elements: past the end that of the last one, since an engine may leave out the checks that
// WebGPU makes. store_words leaves those words out.
fn within(index: u32, elements_per_word: u32) -> u32 {
    return min(index, (params.elements - 1u) / elements_per_word);
}

fn load_word(index: u32) -> u32 {
    return x_cell(within(index, ELEMENTS_PER_WORD));
}

// Words [4 index, 4 index + 4) of x.
fn load_words(index: u32) -> vec4<u32> {
    let first = index * 4u;
    return vec4<u32>(load_word(first), load_word(first + 1u), load_word(first + 2u), load_word(first + 3u));
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

// SPDX-License-Identifier: MIT OR Apache-2.0
// The gradient of a bias of any length: nothing past its end is written, not even the other half of a word.
// Expects sums; packed and DBIAS_PER_WORD of the file of the element type.

@group(0) @binding(1) var<storage, read_write> dbias: array<u32>;

fn store_quad(quad: u32, values: vec4<u32>) {
    let words = packed(values);
    let whole_words = sums.dbias_columns / DBIAS_PER_WORD;
    for (var i = 0u; i < 4u / DBIAS_PER_WORD; i += 1u) {
        let index = quad * (4u / DBIAS_PER_WORD) + i;
        if index < whole_words {
            dbias[index] = words[i];
        } else if index == whole_words && sums.dbias_columns % DBIAS_PER_WORD != 0u {
            dbias[index] = (dbias[index] & 0xffff0000u) | (words[i] & 0xffffu);
        }
    }
}

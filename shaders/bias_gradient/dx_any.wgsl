// SPDX-License-Identifier: MIT OR Apache-2.0
// Rows element by element: they may start anywhere. Past a row's end comes the next one, past the last anything;
// nobody stores those sums. Expects sums; quad_from, element_of and DX_PER_WORD of the file of the element type.

@group(0) @binding(2) var<storage, read> terms: array<u32>;

fn dx_element(index: u32) -> u32 {
    return element_of(terms[index / DX_PER_WORD], index);
}

fn dx_quad(row: u32, column: u32) -> Quad {
    let first = sums.start + row * sums.columns + column;
    return quad_from(vec4<u32>(
        dx_element(first),
        dx_element(first + 1u),
        dx_element(first + 2u),
        dx_element(first + 3u),
    ));
}

// SPDX-License-Identifier: MIT OR Apache-2.0
// The gradient element by element: rows may start anywhere. Past a row's end comes the next one, past the last anything;
// nobody stores those sums. Expects sums, element_of, ELEMENTS_PER_WORD, widened_any.

@group(0) @binding(2) var<storage, read> dx: array<u32>;

fn dx_element(index: u32) -> u32 {
    return element_of(dx[index / ELEMENTS_PER_WORD], index);
}

fn dx_quad(row: u32, column: u32) -> vec4<u32> {
    let first = sums.start + row * sums.columns + column;
    let quad = vec4<u32>(dx_element(first), dx_element(first + 1u), dx_element(first + 2u), dx_element(first + 3u));
    return widened_any(quad);
}

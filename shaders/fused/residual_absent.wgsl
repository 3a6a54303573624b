// SPDX-License-Identifier: MIT OR Apache-2.0
// No residual: minus zero everywhere, in each half of a word where elements have 16 bits. A compiler then knows what is left of the
// sum. Expects Cell of the extent file, ELEMENTS_PER_WORD of the element file.

fn residual_cell(index: u32) -> Cell {
    return Cell(select(0x80000000u, 0x80008000u, ELEMENTS_PER_WORD == 2u));
}

// SPDX-License-Identifier: MIT OR Apache-2.0
// The first stage: the rows of a partial sum, one after the other. Twin: bias_gradient in src/reference.rs.
// Expects sums.wgsl, dx_quad.

fn dx_rows(row: u32, column: u32) -> Rows {
    return Rows(
        dx_quad(row, column),
        dx_quad(row + 1u, column),
        dx_quad(row + 2u, column),
        dx_quad(row + 3u, column),
    );
}

@compute @workgroup_size(workgroup_size)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let quad = id.x;
    if quad >= sums.quads {
        return;
    }
    let continues = id.y == 0u && sums.phase != 0u;
    let before = select(0u, sums.phase, id.y == 0u);
    var row = select(id.y * sums.rows_of_a_sum - sums.phase, 0u, id.y == 0u);
    let end = row + min(sums.rows_of_a_sum - before, sums.rows - row);
    let at = (sums.first_sum + id.y) * sums.quads + quad;
    let column = sums.first_column + quad * 4u;

    var sum: vec4<u32>;
    if continues {
        sum = partial_sums[at];
    } else {
        sum = dx_quad(row, column);
        row += 1u;
    }
    // Eight loads before the first of them is waited for.
    while end - row >= 8u {
        let first = dx_rows(row, column);
        let second = dx_rows(row + 4u, column);
        sum = plus_rows(plus_rows(sum, first), second);
        row += 8u;
    }
    for (; row < end; row += 1u) {
        sum = plus_exact(sum, dx_quad(row, column));
    }
    partial_sums[at] = sum;
}

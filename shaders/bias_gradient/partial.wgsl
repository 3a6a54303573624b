// SPDX-License-Identifier: MIT OR Apache-2.0
// Sums of 64 rows each: a matrix of as many rows less, which is summed up likewise. Expects sums.wgsl.

@group(0) @binding(1) var<storage, read_write> partial_sums: array<vec4<u32>>;

@compute @workgroup_size(workgroup_size)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    // One after the other, so that narrow rows leave no invocation without work.
    let index = (workgroup.y * workgroups.x + workgroup.x) * workgroup_size + local;
    let n = index / sums.quads;
    let quad = index % sums.quads;
    let row = max(n * ROWS_OF_A_SUM, sums.phase) - sums.phase;
    if row >= sums.rows {
        return;
    }
    let end = min((n + 1u) * ROWS_OF_A_SUM - sums.phase, sums.rows);
    let at = sums.first_quad + index;
    var sum = vec4<u32>(SIGN);
    if n == 0u && sums.phase != 0u {
        sum = partial_sums[at];
    }
    partial_sums[at] = plus_rows_to(end, sum, row, sums.first_column + quad * 4u);
}

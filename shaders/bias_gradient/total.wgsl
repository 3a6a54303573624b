// SPDX-License-Identifier: MIT OR Apache-2.0
// The second stage: the partial sums, one after the other. Twin: bias_gradient in src/reference.rs.
// Expects sums.wgsl, store_quad.

fn partial_rows(n: u32, quad: u32) -> Rows {
    let at = n * sums.quads + quad;
    return Rows(
        partial_sums[at],
        partial_sums[at + sums.quads],
        partial_sums[at + 2u * sums.quads],
        partial_sums[at + 3u * sums.quads],
    );
}

@compute @workgroup_size(workgroup_size)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let quad = id.x;
    if quad >= sums.quads {
        return;
    }
    var sum = vec4<u32>(0u);
    if sums.count != 0u {
        sum = partial_sums[quad];
    }
    var n = 1u;
    for (; n + 8u <= sums.count; n += 8u) {
        let first = partial_rows(n, quad);
        let second = partial_rows(n + 4u, quad);
        sum = plus_rows(plus_rows(sum, first), second);
    }
    for (; n < sums.count; n += 1u) {
        sum = plus_exact(sum, partial_sums[n * sums.quads + quad]);
    }
    store_quad(sums.first_column + quad * 4u, narrowed_any(sum));
}

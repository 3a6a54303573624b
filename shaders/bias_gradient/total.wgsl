// SPDX-License-Identifier: MIT OR Apache-2.0
// The last sum, of the 64 or fewer that are left. Expects sums.wgsl, store_quad.

@compute @workgroup_size(workgroup_size)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let quad = (workgroup.y * workgroups.x + workgroup.x) * workgroup_size + local;
    if quad >= sums.quads {
        return;
    }
    var sum = vec4<u32>(0u);
    if sums.rows != 0u {
        sum = plus_rows_to(sums.rows, vec4<u32>(SIGN), 0u, quad * 4u);
    }
    store_quad(sums.first_quad + quad, narrowed_any(sum));
}

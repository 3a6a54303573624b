// SPDX-License-Identifier: MIT OR Apache-2.0
// Entry point that stores no mask: one tile an invocation.
// Expects invocation.wgsl, do_tile of apply_tile.wgsl, apply_tail.wgsl or fused/apply.wgsl.

@compute @workgroup_size(workgroup_size)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let tile = invocation_index(workgroup, workgroups, local);
    if tile * TILE < params.elements {
        _ = do_tile(tile);
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
// Entry point that stores no mask: a panel an invocation, row by row.
// Expects invocation.wgsl, stream/columns.wgsl, do_kept_tile of apply.wgsl.

@compute @workgroup_size(workgroup_size)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let tiles = params.elements / TILE;
    let panel = panel_of(invocation_index(workgroup, workgroups, local));
    if bitcast<i32>(panel.tile) >= bitcast<i32>(tiles) {
        return;
    }
    let decisions = decisions_of(panel);
    var next = decisions.a;
    var tile = panel.tile;
    for (var row = 0u; row < panel.rows; row += 1u) {
        if row == 8u {
            next = decisions.b;
        }
        // Of a panel that reaches out of the window at either end, the rows in it.
        if tile < tiles {
            do_kept_tile(tile, load_tile(tile), keep_from_bits(next.x));
        }
        next = vec4<u32>(next.yzw, next.x >> 16u);
        tile += panel.tiles_per_row;
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
// Entry point that stores the bit mask where several invocations have a word of it: one tile each, put together in the
// workgroup, which is a multiple of as many. Expects invocation.wgsl, tile.wgsl, do_tile of apply_tile.wgsl, mask_out.

// The bits of a tile each, where they are in their word; by four, as they are read.
var<workgroup> decided: array<vec4<u32>, workgroup_size / 4u>;

@compute @workgroup_size(workgroup_size)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let tile = invocation_index(workgroup, workgroups, local);
    var bits = 0u;
    if tile * TILE < params.elements {
        bits = bits_from_keep(do_tile(tile)) & ((1u << TILE) - 1u);
    }
    decided[local / 4u][local % 4u] = bits << (local % TILES_PER_WORD * TILE);
    workgroupBarrier();
    if local < workgroup_size / TILES_PER_WORD {
        let word = (tile - local) / TILES_PER_WORD + local;
        if word * 32u < params.elements {
            let first = local * (TILES_PER_WORD / 4u);
            var four = decided[first];
            if TILES_PER_WORD == 8u {
                four |= decided[first + 1u];
            }
            mask_out[word] = four.x | four.y | four.z | four.w;
        }
    }
}

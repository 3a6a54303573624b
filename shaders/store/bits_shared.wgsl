// SPDX-License-Identifier: MIT OR Apache-2.0
// Entry point that stores the bit mask where several invocations have a word of it: one tile each, put together in the
// workgroup, which is a multiple of as many. Expects invocation.wgsl, tile.wgsl, do_tile of apply_tile.wgsl, mask_out.

// For each word, the bits of each of its tiles, where they are in it. Arrays, for a store to a component may write the whole
// vector, and does with Metal and Direct3D.
var<workgroup> decided: array<array<u32, TILES_PER_WORD>, workgroup_size / TILES_PER_WORD>;

// Of the four last tiles of a word: of eight the other half, of four the same again.
const LAST: u32 = TILES_PER_WORD - 4u;

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
    decided[local / TILES_PER_WORD][local % TILES_PER_WORD] = bits << (local % TILES_PER_WORD * TILE);
    workgroupBarrier();
    if local < workgroup_size / TILES_PER_WORD {
        let word = (tile - local) / TILES_PER_WORD + local;
        if word * 32u < params.elements {
            let first = decided[local][0u] | decided[local][1u] | decided[local][2u] | decided[local][3u];
            let last = decided[local][LAST] | decided[local][LAST + 1u] | decided[local][LAST + 2u] | decided[local][LAST + 3u];
            mask_out[word] = first | last;
        }
    }
}

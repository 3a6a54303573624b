// SPDX-License-Identifier: MIT OR Apache-2.0
// Entry point that stores the bit mask: two tiles an invocation, one whole word of the mask, so that no
// two invocations share a word. Expects invocation.wgsl, do_tile of apply_tile.wgsl, apply_tail.wgsl or mask_only.wgsl, mask_out.

@compute @workgroup_size(workgroup_size)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let word = invocation_index(workgroup, workgroups, local);
    let first = word * 32u;
    if first >= params.elements {
        return;
    }
    let left = params.elements - first;
    var bits = bits_from_keep(do_tile(word * 2u));
    if left > TILE {
        bits |= bits_from_keep(do_tile(word * 2u + 1u)) << TILE;
    }
    if left < 32u {
        bits &= (1u << left) - 1u;
    }
    mask_out[word] = bits;
}

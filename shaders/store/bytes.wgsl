// SPDX-License-Identifier: MIT OR Apache-2.0
// Entry point that stores the byte mask: one tile an invocation, a word of the mask for four elements.
// Expects invocation.wgsl, do_tile of apply_tile.wgsl, apply_tail.wgsl or mask_only.wgsl, mask_out.

fn store_bytes(first: u32, keep: vec4<bool>) {
    if first >= params.elements {
        return;
    }
    let bytes = select(vec4<u32>(0u), vec4<u32>(1u, 0x100u, 0x10000u, 0x1000000u), keep);
    var word = bytes.x | bytes.y | bytes.z | bytes.w;
    let left = params.elements - first;
    if left < 4u {
        word &= (1u << (left * 8u)) - 1u;
    }
    mask_out[first / 4u] = word;
}

@compute @workgroup_size(workgroup_size)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let tile = invocation_index(workgroup, workgroups, local);
    let first = tile * TILE;
    if first >= params.elements {
        return;
    }
    let keep = do_tile(tile);
    store_bytes(first, keep.a);
    if QUADS > 1u {
        store_bytes(first + 4u, keep.b);
    }
    if QUADS > 2u {
        store_bytes(first + 8u, keep.c);
        store_bytes(first + 12u, keep.d);
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
// Mask read from a byte mask: element i is byte i, 0 = dropped, anything else = kept.
// Expects mask_in, tile.wgsl, within of the extent file.

fn keep_word(index: u32) -> vec4<bool> {
    return (vec4<u32>(mask_in[within(index, 4u)]) & vec4<u32>(0xffu, 0xff00u, 0xff0000u, 0xff000000u)) != vec4<u32>(0u);
}

fn keep_tile(tile: u32) -> Keep {
    let index = tile * QUADS;
    var keep: Keep;
    keep.a = keep_word(index);
    if QUADS > 1u {
        keep.b = keep_word(index + 1u);
    }
    if QUADS > 2u {
        keep.c = keep_word(index + 2u);
        keep.d = keep_word(index + 3u);
    }
    return keep;
}

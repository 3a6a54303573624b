// SPDX-License-Identifier: MIT OR Apache-2.0
// The bias: a row's length, whole in every window. Writable, for it may share a buffer with what is written.
// Expects Cell of the extent file, tile.wgsl, row.wgsl, MISSING of the fused element file.

@group(0) @binding(5) var<storage, read_write> bias: array<Cell>;

// Four elements, or minus zeros where there are none: loaded all the same, for a branch costs more than a load, both where
// every way is executed and where loads wait for it.
fn present(values: vec4<u32>) -> vec4<u32> {
    return select(vec4<u32>(MISSING), values, row.has_bias != 0u);
}

fn tile_present(x: Tile) -> Tile {
    return Tile(present(x.a), present(x.b), present(x.c), present(x.d));
}

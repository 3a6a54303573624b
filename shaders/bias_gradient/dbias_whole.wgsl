// SPDX-License-Identifier: MIT OR Apache-2.0
// The gradient of a bias of whole quads. Expects Quad, packed.

@group(0) @binding(2) var<storage, read_write> dbias: array<Quad>;

fn store_quad(column: u32, values: vec4<u32>) {
    dbias[column / 4u] = packed(values);
}

// SPDX-License-Identifier: MIT OR Apache-2.0
// The gradient of a bias of whole quads. Expects packed of the file of the element type.

@group(0) @binding(1) var<storage, read_write> dbias: array<Packed>;

fn store_quad(quad: u32, values: vec4<u32>) {
    dbias[quad] = packed(values);
}

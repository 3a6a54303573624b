// SPDX-License-Identifier: MIT OR Apache-2.0
// Writes the random words of 16 elements an invocation. Expects draw_tile of the library's mask.

@group(0) @binding(0) var<storage, read_write> drawn: array<vec4<u32>>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let first = 4u * id.x;
    if first >= arrayLength(&drawn) {
        return;
    }
    let words = draw_tile(id.x);
    drawn[first] = words.a;
    drawn[first + 1u] = words.b;
    drawn[first + 2u] = words.c;
    drawn[first + 3u] = words.d;
}

// SPDX-License-Identifier: MIT OR Apache-2.0
// Which tiles of f32 or bf16 elements the hardware's arithmetic can be trusted with. Expects tile.wgsl, MAGNITUDE of the element file, params.

// True where some element of the tile is neither zero nor in the fast range.
fn outside_fast_range(x: Tile) -> bool {
    let m = vec4<u32>(MAGNITUDE);
    let one = vec4<u32>(1u);
    let a = x.a & m;
    let b = x.b & m;
    let c = x.c & m;
    let d = x.d & m;
    let largest = max(max(a, b), max(c, d));
    // Zero wraps to the top, out of the way of the least.
    let least = min(min(a - one, b - one), min(c - one, d - one));
    return any(largest > vec4<u32>(params.fast_max)) | any(least < vec4<u32>(params.fast_min - 1u));
}

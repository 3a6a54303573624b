// SPDX-License-Identifier: MIT OR Apache-2.0
// The index map of a dispatch: how a step through the tensor moves through the stream.
// Host side: `MapUniform` in src/gpu/map.rs; a test holds the two layouts equal.

struct MapDimension {
    jump: vec2<u32>,  // where the dimension starts again: a step in the next one out, less all of its own: low, high
    length: u32,
    start: u32,       // coordinate of local element 0
}

struct Map {
    dimensions: array<MapDimension, 64>,  // innermost first; those past the last have no end
    stride: vec2<u32>,  // distance of neighbours in the innermost: low, high
    count: u32,         // of the dimensions
    seed_length: u32,   // elements that share a seed; 0 where all have the call's
    seed_start: u32,    // of those of the first seed, how many lie before local element 0
    first_seed: u32,
    reserved: vec2<u32>,
}

@group(0) @binding(4) var<uniform> map: Map;
// Writable, for they may share a buffer with what is written.
@group(0) @binding(8) var<storage, read_write> seeds: array<vec2<u32>>;

// SPDX-License-Identifier: MIT OR Apache-2.0
// Where an element lies in the stream, by an index map of three dimensions at most. Without a loop: drivers go through
// one more often than they have to. Expects wide.wgsl, map, params.

fn index_of(element: u32) -> vec2<u32> {
    // Not read, but named: a layout made from the text then has the binding, as that of any other map.
    _ = arrayLength(&seeds);
    let inner = map.dimensions[0];
    let middle = map.dimensions[1];
    let rounds = (inner.start + element) / inner.length;
    let outer_rounds = (middle.start + rounds) / middle.length;
    // The outermost of them does not start again.
    let along = add_wide(params.origin, multiply_long(element, map.stride));
    return add_wide(add_wide(along, multiply_long(rounds, inner.jump)), multiply_long(outer_rounds, middle.jump));
}

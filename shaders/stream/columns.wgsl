// SPDX-License-Identifier: MIT OR Apache-2.0
// The keep decisions of a panel, 16 rows of one tile each, where a column is a run of the stream: a tensor stored with its
// dimensions in another order. A block decides neighbours in a column, so that all of them share what it draws. Twin:
// keeps in src/reference.rs, index in src/index_map.rs.
// Expects philox.wgsl, wide.wgsl, map, tile.wgsl, LANE_BITS and kept_lanes of the mask file, params.

const LANES: u32 = 1u << LANE_BITS;
const ROWS: u32 = 16u;

// Where the invocation's panel lies. Panels do not reach across the second dimension's end, so that the last one there may
// have fewer rows; all may begin before the window's first element, hence modulo 2^32.
struct Panel {
    tile: u32,            // of row 0, in the window
    tiles_per_row: u32,
    rows: u32,
    index: vec2<u32>,     // of row 0 and column 0 in the stream: low, high
}

// Decisions of rows 0 to 3 in the low halves of a, of 4 to 7 in the high ones, of 8 to 15 so in b. Column j is bit j.
struct Decisions {
    a: vec4<u32>,
    b: vec4<u32>,
}

// a times b where a is negative from 2^31 on, modulo 2^64.
fn multiply_signed(a: u32, b: vec2<u32>) -> vec2<u32> {
    let product = multiply_long(a, b);
    return vec2<u32>(product.x, product.y - select(0u, b.x, a >= 0x80000000u));
}

fn panel_of(invocation: u32) -> Panel {
    // Not read, but named: a layout made from the text then has the binding, as that of any other map.
    _ = arrayLength(&seeds);
    let inner = map.dimensions[0];
    let middle = map.dimensions[1];
    let tiles_per_row = inner.length / TILE;
    let panels_per_round = (middle.length + ROWS - 1u) / ROWS;
    let down = invocation / tiles_per_row;
    let column = (invocation - down * tiles_per_row) * TILE;
    let panel_row = middle.start / ROWS + down;
    let round = panel_row / panels_per_round;
    let row = (panel_row - round * panels_per_round) * ROWS;
    // Steps from the window's first element: columns within a row, rows, and back where the second dimension starts again.
    let right = column - inner.start;
    let rows_down = round * middle.length + row - middle.start;
    let across = add_wide(params.origin, multiply_signed(right, map.stride));
    let along = multiply_signed(rows_down, vec2<u32>(1u, 0u));
    return Panel(
        rows_down * tiles_per_row + column / TILE - inner.start / TILE,
        tiles_per_row,
        min(ROWS, middle.length - row),
        add_wide(add_wide(across, along), multiply_long(round, middle.jump)),
    );
}

// Row r of a column is bit r.
fn column_from(index: vec2<u32>, rows: u32) -> u32 {
    var block = block_of(index, LANE_BITS);
    var lane = index.x % LANES;
    var at = 0u;
    var bits = 0u;
    loop {
        bits |= (kept_lanes(philox4x32_10(params.seed, neighbours(params.seed, block.y), block.x)) >> lane) << at;
        at += LANES - lane;
        if at >= rows {
            break;
        }
        lane = 0u;
        block = add_wide(block, vec2<u32>(1u, 0u));
    }
    return bits;
}

fn decisions_of(panel: Panel) -> Decisions {
    let one = vec4<u32>(1u);
    let rows = vec4<u32>(0u, 1u, 2u, 3u);
    var decisions: Decisions;
    var index = panel.index;
    for (var column = 0u; column < TILE; column += 1u) {
        let bits = vec4<u32>(column_from(index, panel.rows));
        let low = vec4<u32>(column);
        let high = vec4<u32>(column + 16u);
        decisions.a |= (((bits >> rows) & one) << low) | (((bits >> (rows + 4u)) & one) << high);
        decisions.b |= (((bits >> (rows + 8u)) & one) << low) | (((bits >> (rows + 12u)) & one) << high);
        index = add_wide(index, map.stride);
    }
    return decisions;
}

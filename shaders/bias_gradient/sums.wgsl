// SPDX-License-Identifier: MIT OR Apache-2.0
// Rows added one after the other, four neighbouring columns an invocation. Twin: bias_gradient in src/reference.rs.
// Expects sum.wgsl; dx_quad; Quad, is_outside and the others of the file of the rows' element type.
// Host side: `Sums` in src/gpu/bias_gradient.rs; a test holds the two layouts equal.

override workgroup_size: u32 = 64u;

struct Sums {
    columns: u32,       // of a row
    first_column: u32,  // of the first invocation
    quads: u32,         // invocations for each sum: columns of this dispatch over 4, rounded up
    start: u32,         // of what is bound, the element where its first row starts
    rows: u32,          // that are bound
    phase: u32,         // how many rows of the first sum were added up before
    first_quad: u32,    // of what is written, where the first invocation's goes
    dbias_columns: u32, // of the bias
    always_zero: u32,   // 0, which the driver's compiler does not know
}

@group(0) @binding(0) var<uniform> sums: Sums;

// Four rows of four columns.
struct Rows {
    a: Quad,
    b: Quad,
    c: Quad,
    d: Quad,
}

// Rows that make a sum.
const ROWS_OF_A_SUM: u32 = 64u;

// Operands of 2^-102 or more are multiples of 2^-125, and so is all that they sum up to: never subnormal. Five of
// them, one no greater than 2^126 and four than 2^123, sum up to what is finite.
const LEAST: u32 = 0x0c800000u;         // 2^-102
const GREATEST: u32 = 0x7d000000u;      // 2^123
const GREATEST_SUM: u32 = 0x7e800000u;  // 2^126

// Right where the sum is normal; the sign of a zero is left open. A driver may add up in another order, but not across
// integers that it does not know.
fn plus_fast(a: vec4<u32>, b: vec4<u32>) -> vec4<u32> {
    return bitcast<vec4<u32>>(bitcast<vec4<f32>>(a) + bitcast<vec4<f32>>(b)) ^ vec4<u32>(sums.always_zero);
}

// The rows added one after the other.
fn plus_rows(before: vec4<u32>, rows: Rows) -> vec4<u32> {
    var sum = before;
    let magnitude = sum & vec4<u32>(~SIGN);
    let is_great = any(magnitude > vec4<u32>(GREATEST_SUM));
    // Zero wraps to the top, out of the way of the least.
    let is_small = any(magnitude - vec4<u32>(1u) < vec4<u32>(LEAST - 1u));
    if is_great || is_small || is_outside(rows) {
        // One sum at a time, for drivers that go through a loop once even where no lane wants it.
        for (var i = 0u; i < 16u; i += 1u) {
            let is_here = vec4<u32>(i & 3u) == vec4<u32>(0u, 1u, 2u, 3u);
            let n = i >> 2u;
            let row = widened_exact(select(
                select(rows.a, rows.b, n == 1u),
                select(rows.c, rows.d, n == 3u),
                n >= 2u,
            ));
            let a = select(vec4<u32>(0u), sum, is_here);
            let b = select(vec4<u32>(0u), row, is_here);
            sum = select(sum, vec4<u32>(sum_exact(a.x | a.y | a.z | a.w, b.x | b.y | b.z | b.w)), is_here);
        }
    } else {
        let a = widened_fast(rows.a);
        let b = widened_fast(rows.b);
        let c = widened_fast(rows.c);
        let d = widened_fast(rows.d);
        // A zero is minus only where all that was added up is.
        let signs = sum & a & b & c & d & vec4<u32>(SIGN);
        sum = plus_fast(plus_fast(plus_fast(plus_fast(sum, a), b), c), d);
        sum = select(sum, signs, (sum & vec4<u32>(~SIGN)) == vec4<u32>(0u));
    }
    return sum;
}

fn rows_from(row: u32, column: u32) -> Rows {
    return Rows(
        dx_quad(row, column),
        dx_quad(row + 1u, column),
        dx_quad(row + 2u, column),
        dx_quad(row + 3u, column),
    );
}

fn quad_before(end: u32, row: u32, column: u32) -> Quad {
    return select(Quad(MISSING), dx_quad(min(row, end - 1u), column), row < end);
}

// What follows a sum: rows from this one to an end.
fn plus_rows_to(end: u32, before: vec4<u32>, first: u32, column: u32) -> vec4<u32> {
    var sum = before;
    var row = first;
    // Eight loads before the first of them is waited for.
    for (; row + 8u <= end; row += 8u) {
        let four = rows_from(row, column);
        let others = rows_from(row + 4u, column);
        sum = plus_rows(plus_rows(sum, four), others);
    }
    for (; row < end; row += 4u) {
        sum = plus_rows(sum, Rows(
            quad_before(end, row, column),
            quad_before(end, row + 1u, column),
            quad_before(end, row + 2u, column),
            quad_before(end, row + 3u, column),
        ));
    }
    return sum;
}

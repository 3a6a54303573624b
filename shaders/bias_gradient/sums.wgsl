// SPDX-License-Identifier: MIT OR Apache-2.0
// Which sums a dispatch makes: of four neighbouring columns each invocation. Expects sum.wgsl.
// Host side: `Sums` in src/gpu/bias_gradient.rs; a test holds the two layouts equal.

override workgroup_size: u32 = 64u;

struct Sums {
    columns: u32,       // of a row
    first_column: u32,  // of the first invocation
    quads: u32,         // invocations: columns of this dispatch over 4, rounded up
    start: u32,         // of the bound dx, the element where its first row starts
    rows: u32,          // that are bound
    rows_of_a_sum: u32, // that make a partial sum
    phase: u32,         // of those, how many rows were summed before
    first_sum: u32,     // the partial sum of the first row
    count: u32,         // partial sums of all rows
    always_zero: u32,   // 0, which the driver's compiler does not know
}

@group(0) @binding(0) var<uniform> sums: Sums;
// Of partial sum n and four columns: [n * sums.quads + quad].
@group(0) @binding(1) var<storage, read_write> partial_sums: array<vec4<u32>>;

// Four rows of four columns.
struct Rows {
    a: vec4<u32>,
    b: vec4<u32>,
    c: vec4<u32>,
    d: vec4<u32>,
}

// Operands of 2^-102 or more are multiples of 2^-125, and so is all that they sum up to: never subnormal. Five of
// them, one no greater than 2^126 and four than 2^123, sum up to what is finite.
const LEAST: u32 = 0x0c800000u;         // 2^-102
const GREATEST: u32 = 0x7d000000u;      // 2^123
const GREATEST_SUM: u32 = 0x7e800000u;  // 2^126

fn plus_exact(a: vec4<u32>, b: vec4<u32>) -> vec4<u32> {
    return vec4<u32>(sum_exact(a.x, b.x), sum_exact(a.y, b.y), sum_exact(a.z, b.z), sum_exact(a.w, b.w));
}

// Right where the sum is normal; the sign of a zero is left open. A driver may add up in another order, but not across
// integers that it does not know.
fn plus_fast(a: vec4<u32>, b: vec4<u32>) -> vec4<u32> {
    return bitcast<vec4<u32>>(bitcast<vec4<f32>>(a) + bitcast<vec4<f32>>(b)) ^ vec4<u32>(sums.always_zero);
}

// The rows added one after the other.
fn plus_rows(before: vec4<u32>, rows: Rows) -> vec4<u32> {
    var sum = before;
    let magnitude = vec4<u32>(~SIGN);
    let one = vec4<u32>(1u);
    let a = rows.a & magnitude;
    let b = rows.b & magnitude;
    let c = rows.c & magnitude;
    let d = rows.d & magnitude;
    let s = sum & magnitude;
    let greatest = max(max(a, b), max(c, d));
    // Zero wraps to the top, out of the way of the least.
    let least = min(min(min(a - one, b - one), min(c - one, d - one)), s - one);
    let is_great = any(greatest > vec4<u32>(GREATEST)) || any(s > vec4<u32>(GREATEST_SUM));
    if is_great || any(least < vec4<u32>(LEAST - 1u)) {
        // One sum at a time, for drivers that go through a loop once even where no lane wants it.
        for (var i = 0u; i < 16u; i += 1u) {
            let is_here = vec4<u32>(i & 3u) == vec4<u32>(0u, 1u, 2u, 3u);
            let n = i >> 2u;
            let row = select(select(rows.a, rows.b, n == 1u), select(rows.c, rows.d, n == 3u), n >= 2u);
            let a = select(vec4<u32>(0u), sum, is_here);
            let b = select(vec4<u32>(0u), row, is_here);
            sum = select(sum, vec4<u32>(sum_exact(a.x | a.y | a.z | a.w, b.x | b.y | b.z | b.w)), is_here);
        }
    } else {
        // A zero is minus only where all that was added up is.
        let signs = sum & rows.a & rows.b & rows.c & rows.d & vec4<u32>(SIGN);
        sum = plus_fast(plus_fast(plus_fast(plus_fast(sum, rows.a), rows.b), rows.c), rows.d);
        sum = select(sum, signs, (sum & magnitude) == vec4<u32>(0u));
    }
    return sum;
}

//! Where the rows of a window lie, as the shader reads it. Shader twin: `shaders/fused/row.wgsl`, held equal by a test.

use bytemuck::{Pod, Zeroable};

/// Columns of a row, and whether there is a bias.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub(crate) struct Row {
    columns: u32,
    start: u32,
    has_bias: u32,
    always_zero: u32,
    reciprocal: u32,
    shift: u32,
}

/// Multiplier and shift by which numbers below 2^31 are divided: the quotient is the upper word of the product, shifted down
/// (Granlund and Montgomery, "Division by invariant integers using multiplication", PLDI 1994, theorem 4.2). Zeros where
/// there is nothing to divide by.
fn reciprocal_of(divisor: u32) -> (u32, u32) {
    if divisor < 2 {
        return (0, 0);
    }
    let log2 = 32 - (divisor - 1).leading_zeros();
    let reciprocal = (1u64 << (31 + log2)).div_ceil(divisor.into());
    (reciprocal as u32, log2 - 1)
}

impl Row {
    /// Of a window that starts at local element `first`; `columns` are those of the bias, if there is one. A tile has so many
    /// elements.
    pub(crate) fn new(columns: Option<u64>, first: u64, tile: u64) -> Self {
        // Without a bias each tile is a row: all look at what is bound in its place, and must find it there.
        let divisor = columns.unwrap_or(tile).max(1);
        let (reciprocal, shift) = reciprocal_of((divisor / tile) as u32);
        Self {
            // A bias fits into one binding, and so its columns into 32 bits.
            columns: divisor as u32,
            start: (first % divisor) as u32,
            has_bias: columns.is_some().into(),
            always_zero: 0,
            reciprocal,
            shift,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::layout;
    use crate::gpu::variant::NOTHING_BYTES;

    #[test]
    fn host_and_shader_layouts_agree() {
        let (shader, span) = layout::of_struct(include_str!("../../shaders/fused/row.wgsl"), "Row");
        assert_eq!(
            shader,
            layout::host!(Row: columns start has_bias always_zero reciprocal shift)
        );
        assert_eq!(span, size_of::<Row>());
    }

    #[test]
    fn without_a_bias_all_look_at_one_tile() {
        for tile in [4, 8, 16] {
            let row = Row::new(None, 1_000_003, tile);
            assert_eq!((u64::from(row.columns), row.reciprocal), (tile, 0));
            assert!(row.start < row.columns && row.columns as usize * size_of::<f32>() <= NOTHING_BYTES);
        }
    }

    #[test]
    fn quotients_by_reciprocals() {
        let divisors = (1..=5000u32).chain((5..30).flat_map(|log2| [(1 << log2) - 1, 1 << log2, (1 << log2) + 1]));
        for divisor in divisors.chain([u32::MAX / 16, u32::MAX / 4]) {
            let (reciprocal, shift) = reciprocal_of(divisor);
            let last = (1u32 << 31) - 1;
            let multiples = [1, 2, 1000, last / divisor].map(|n| n.min(last / divisor) * divisor);
            for n in multiples
                .into_iter()
                .flat_map(|n| [n.saturating_sub(1), n, n + 1])
                .chain([0, last])
            {
                let n = n.min(last);
                let upper = (u64::from(n) * u64::from(reciprocal)) >> 32;
                let quotient = if reciprocal == 0 { n } else { upper as u32 >> shift };
                assert_eq!(quotient, n / divisor, "{n} / {divisor}");
            }
        }
    }
}

//! The wide multiply where it is most easily wrong: at operands around carries and signs, in every round.
//!
//! Rounds can be undone, so for any operands of any round there is a block that reaches them. Whether an element is kept
//! says on which side of the threshold its word is; two thresholds, one on either side of the word, say which word it is.

use super::{Case, Subject, compare_case};
use crate::MaskFormat;
use crate::gpu::run::Task;
use crate::gpu::self_test::{Difference, SEED};
use crate::gpu::{Kernels, RunError};
use crate::philox::{ROUNDS, philox4x32_10, unrounded};
use crate::{Probability, RandomBits};

/// Operands of the rounds' products.
const EDGES: [u32; 8] = [0, 1, 0xffff, 0x1_0000, 0x1_0001, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff];

const LANES: usize = 4;
const SIDES: usize = 2;

/// Calls of the table.
pub(super) const CALLS: usize = ROUNDS * EDGES.len() * LANES * SIDES;

/// A block that is element 0, 4, ... of a tensor of its own, and the subsequence that it lies in.
struct Place {
    block: u64,
    subsequence: u64,
}

/// Where a round multiplies these operands.
fn place(round: usize, operands: [u32; 2]) -> Place {
    let key = [SEED as u32, (SEED >> 32) as u32];
    let mut other = 0u32;
    loop {
        let counter = unrounded([operands[0], other, operands[1], !other], key, round);
        let [block, subsequence] =
            [[0, 1], [2, 3]].map(|[low, high]| u64::from(counter[low]) | u64::from(counter[high]) << 32);
        // Its elements must have a place in the stream, and those of its tile.
        if block < (u64::MAX >> 2) - 4 {
            return Place { block, subsequence };
        }
        other = other.wrapping_add(0x9e37_79b9);
    }
}

/// One call: a tile that holds the block, whose threshold is the word of one of its lanes, or one more.
pub(super) async fn compare_multiply(
    kernels: &Kernels,
    subject: &Subject,
    n: usize,
) -> Result<(u64, Option<Difference>), RunError> {
    let (n, side) = (n / SIDES, n % SIDES);
    let (n, lane) = (n / LANES, n % LANES);
    let (round, edge) = (n / EDGES.len(), n % EDGES.len());
    // Another edge each round, for the other product.
    let operands = [EDGES[edge], EDGES[(edge + 3 * round + 1) % EDGES.len()]];
    let Place { block, subsequence } = place(round, operands);
    let counter = [
        block as u32,
        (block >> 32) as u32,
        subsequence as u32,
        (subsequence >> 32) as u32,
    ];
    let word = philox4x32_10(counter, [SEED as u32, (SEED >> 32) as u32])[lane];
    let threshold = u64::from(word) + side as u64;
    let case = Case {
        elements: 16,
        map: (&[], &[]),
        elements_per_seed: 0,
        subsequence,
        // Tiles start with a multiple of four blocks.
        element_offset: block / 4 * 16,
        // Exact, and so is the way back to the threshold.
        p: 1.0 - threshold as f64 / (1u64 << 32) as f64,
        scale_mode: crate::ScaleMode::Inverted,
    };
    debug_assert_eq!(
        Probability::new(case.p, RandomBits::B32).map(|probability| probability.threshold()),
        Ok(threshold)
    );
    let difference = compare_case(kernels, subject, Task::Mask(MaskFormat::Bits), &case).await?;
    let told = |difference: Difference| Difference {
        case: format!(
            "{}: round {round} multiplies {:#x} and {:#x}",
            difference.case, operands[0], operands[1]
        ),
        ..difference
    };
    Ok((case.elements, difference.map(told)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DType;
    use crate::gpu::blocking::Context;
    use crate::gpu::self_test::{Placement, What};
    use crate::gpu::{KernelOptions, Multiply};
    use crate::philox::round;
    use std::sync::Arc;

    #[test]
    fn every_place_is_reached() {
        for rounds in 0..ROUNDS {
            for a in EDGES {
                for b in EDGES {
                    let Place { block, subsequence } = place(rounds, [a, b]);
                    let mut counter = [
                        block as u32,
                        (block >> 32) as u32,
                        subsequence as u32,
                        (subsequence >> 32) as u32,
                    ];
                    let mut key = [SEED as u32, (SEED >> 32) as u32];
                    for _ in 0..rounds {
                        (counter, key) = round(counter, key);
                    }
                    assert_eq!([counter[0], counter[2]], [a, b]);
                }
            }
        }
    }

    /// The first difference that drivers show whose multiply is another text.
    fn found(rewrite: fn(String) -> String) -> Option<Difference> {
        let context = Context::new().expect("an adapter");
        let (device, queue) = (context.kernels().device(), context.kernels().queue());
        let options = KernelOptions {
            multiply: Some(Multiply::Emulated),
            ..KernelOptions::default()
        };
        let mut kernels = Kernels::with_options(device, queue, &options).expect("kernels");
        Arc::get_mut(&mut kernels.inner).expect("no clone").rewrite = Some(rewrite);
        let subject = Subject {
            what: What::Multiply,
            dtype: DType::F32,
            random_bits: RandomBits::B32,
            placement: Placement::APART,
        };
        (0..CALLS).find_map(|n| {
            pollster::block_on(compare_multiply(&kernels, &subject, n))
                .expect("a run")
                .1
        })
    }

    /// A driver that multiplies wrongly where this expression is true.
    fn wrong_where(text: &str, condition: &str) -> String {
        assert!(text.contains("fn multiply_wide("));
        text.replace("fn multiply_wide(", "fn rightly_multiplied(")
            + &format!(
                "\nfn multiply_wide(a: u32, b: u32) -> vec2<u32> {{
                    let right = rightly_multiplied(a, b);
                    return select(right, right + vec2<u32>(0u, 1u), {condition});
                }}"
            )
    }

    #[test]
    fn a_driver_that_multiplies_one_value_wrongly_is_found_out() {
        assert_eq!(found(|text| text), None);
        let wrong: [fn(String) -> String; 5] = [
            |text| wrong_where(&text, "b == 0xffffffffu"),
            |text| wrong_where(&text, "b == 0x10000u"),
            |text| wrong_where(&text, "b == 0u"),
            |text| wrong_where(&text, "a == 0xCD9E8D57u && b == 0x80000000u"),
            // A carry that is dropped.
            |text| text.replace(" + (cross >> 16u)", ""),
        ];
        for rewrite in wrong {
            let difference = found(rewrite).expect("a difference");
            assert_eq!(difference.place, "mask word");
        }
    }
}

//! The comparisons of what stands beside dropout: the fused forward and the gradient of the bias.

use half::{bf16, f16};

use super::{Difference, SEED, SUBSEQUENCE, Subject, first_outside, guarded, painted, seeds, unreachable_case};
use crate::draw::Seeds;
use crate::gpu::run::{Job, Placement, Task, run as run_job, sum_rows};
use crate::gpu::{Kernels, RunError};
use crate::{DType, Draw, Dropout, Element, IndexMap, Neighbours, Probability, ScaleMode, reference};

/// A case of the fused forward: rows of so many columns, from where, how likely, over which mask strides.
pub(super) struct FusedCase {
    shape: &'static [u64],
    mask_strides: &'static [u64],
    has_seeds: bool,
    element_offset: u64,
    p: f64,
    scale_mode: ScaleMode,
}

/// Rows of whole tiles and others, aligned and shifted streams, factors from 1 to 2^32, and none kept.
pub(super) const FUSED_CASES: [FusedCase; 15] = {
    use ScaleMode::{Classic, Inverted};
    const fn case(shape: &'static [u64], element_offset: u64, p: f64, scale_mode: ScaleMode) -> FusedCase {
        FusedCase {
            shape,
            mask_strides: &[],
            has_seeds: false,
            element_offset,
            p,
            scale_mode,
        }
    }
    const fn mapped(shape: &'static [u64], mask_strides: &'static [u64], p: f64) -> FusedCase {
        FusedCase {
            shape,
            mask_strides,
            has_seeds: false,
            element_offset: (1 << 34) - 77,
            p,
            scale_mode: Inverted,
        }
    }
    [
        case(&[1, 1], 0, 0.5, Inverted),
        case(&[37, 112], 0, 0.5, Inverted),
        case(&[37, 112], (1 << 34) - 1001, 0.3, Inverted),
        case(&[65, 64], (1 << 36) - 1024, 0.1, Classic),
        // Tiles of 16 bytes, of all types and of f32 alone.
        case(&[39, 72], 0, 0.2, Inverted),
        case(&[29, 100], 9, 0.6, Inverted),
        case(&[33, 31], 16, 0.1, Inverted),
        case(&[901, 1], 5, 0.25, Inverted),
        case(&[1, 4099], 0, 0.4, Inverted),
        case(&[40, 64], 0, 0.0, Inverted),
        case(&[20, 48], 0, 1.0, Inverted),
        case(&[31, 64], 7, 1.0 - 1e-12, Inverted),
        mapped(&[61, 80], &[1, 0], 0.2),
        mapped(&[3, 7, 49], &[7, 1, 0], 0.5),
        FusedCase {
            has_seeds: true,
            ..mapped(&[21, 96], &[0, 1], 0.5)
        },
    ]
};

/// Rows and columns of the gradients of biases: one level of partial sums, two and three, and a last one of fewer rows.
pub(super) const GRADIENT_CASES: [(u64, u64); 11] = [
    (0, 5),
    (1, 1),
    (2, 7),
    (63, 8),
    (65, 12),
    (128, 3),
    (643, 20),
    (16_385, 4),
    (17_000, 1),
    (33, 1030),
    (262_209, 1),
];

/// Compares the gradient of a bias.
pub(super) async fn compare_gradient(
    kernels: &Kernels,
    subject: &Subject,
    case: (u64, u64),
) -> Result<(u64, Option<Difference>), RunError> {
    match subject.dtype {
        DType::F32 => compare_gradient_elements::<f32>(kernels, case).await,
        DType::F16 => compare_gradient_elements::<f16>(kernels, case).await,
        DType::Bf16 => compare_gradient_elements::<bf16>(kernels, case).await,
    }
}

/// Gradients whose sums reach every case: a column each of ordinary numbers, of such that cancel, of tiny and of huge
/// ones, of minus zeros, and of any bits.
fn columns_of_sums(dtype: DType, rows: u64, columns: u64) -> Vec<u8> {
    let (exponent_bits, mantissa_bits) = match dtype {
        DType::F32 => (8, 23),
        DType::F16 => (5, 10),
        DType::Bf16 => (8, 7),
    };
    let sign = 1u32 << (exponent_bits + mantissa_bits);
    let largest = (1u32 << exponent_bits) - 2;
    let mut words = crate::Philox4x32::new(0x5eed, dtype as u64);
    let mut bits: Vec<u32> = Vec::with_capacity((rows * columns) as usize);
    for i in 0..rows * columns {
        let random = rand_core::Rng::next_u32(&mut words);
        let mantissa = random & ((1 << mantissa_bits) - 1);
        let some = random >> 28;
        let with_exponent = |exponent: u32| {
            let either_sign = if random >> 27 & 1 == 1 { sign } else { 0 };
            either_sign | exponent << mantissa_bits | mantissa
        };
        let ordinary = with_exponent(largest / 2 - 4 + some % 8);
        bits.push(match (i % columns + rows) % 6 {
            0 if some == 0 => 0,
            1 if i / columns % 2 == 1 => bits[(i - columns) as usize] ^ sign,
            0 | 1 => ordinary,
            2 => with_exponent(some % 3),
            3 => with_exponent(largest - some % 3),
            4 => sign,
            _ => random & (sign | (sign - 1)),
        });
    }
    match dtype {
        DType::F32 => bits.iter().flat_map(|bits| bits.to_ne_bytes()).collect(),
        DType::F16 | DType::Bf16 => bits.iter().flat_map(|&bits| (bits as u16).to_ne_bytes()).collect(),
    }
}

async fn compare_gradient_elements<T: Element>(
    kernels: &Kernels,
    (rows, columns): (u64, u64),
) -> Result<(u64, Option<Difference>), RunError> {
    let unit = size_of::<T>();
    let dx = columns_of_sums(T::DTYPE, rows, columns);
    let mut expected = vec![T::zeroed(); columns as usize];
    reference::bias_gradient(&bytemuck::pod_collect_to_vec::<u8, T>(&dx), &mut expected)?;
    let expected: &[u8] = bytemuck::cast_slice(&expected);
    let mut output = guarded(expected.len());
    sum_rows(kernels, T::DTYPE, columns, &dx, &mut output).await?;
    let found = first_outside(expected, &output, unit);
    let difference = found.map(|(place, (index, expected, actual))| Difference {
        case: format!("{rows} rows of {columns}"),
        place,
        index,
        block_lane: (0, 0),
        input: None,
        expected,
        actual,
    });
    Ok((rows * columns, difference))
}

/// Compares the fused forward with every neighbourhood.
pub(super) async fn compare_fused(
    kernels: &Kernels,
    subject: &Subject,
    case: &FusedCase,
) -> Result<(u64, Option<Difference>), RunError> {
    match subject.dtype {
        DType::F32 => compare_fused_elements::<f32>(kernels, subject, case).await,
        DType::F16 => compare_fused_elements::<f16>(kernels, subject, case).await,
        DType::Bf16 => compare_fused_elements::<bf16>(kernels, subject, case).await,
    }
}

/// Makes some f16 of tiles that are ordinary cancel to less than half of the least one: to a zero whose sign is that of the sum.
fn all_but_cancel(scale: f32, x: &mut [u8], residual: &mut [u8]) {
    for (i, (x, residual)) in x.chunks_exact_mut(2).zip(residual.chunks_exact_mut(2)).enumerate() {
        // In units of 2^-24, whose subnormal f16 are their own bits.
        let units = 1 + (i % 29) as u16;
        let scaled = (f32::from(units) * scale).round();
        if (i / 16) % 4 == 1 && i % 4 == 0 && scaled < 1024.0 {
            let sign = if i % 8 == 0 { 0x8000 } else { 0 };
            x.copy_from_slice(&(units | sign).to_ne_bytes());
            residual.copy_from_slice(&(scaled as u16 | (sign ^ 0x8000)).to_ne_bytes());
        }
    }
}

async fn compare_fused_elements<T: Element>(
    kernels: &Kernels,
    subject: &Subject,
    case: &FusedCase,
) -> Result<(u64, Option<Difference>), RunError> {
    let dropout = Dropout {
        probability: Probability::new(case.p, subject.random_bits).map_err(|_| unreachable_case())?,
        scale_mode: case.scale_mode,
        seed: SEED,
        subsequence: SUBSEQUENCE,
        element_offset: case.element_offset,
    };
    // The table's own are maps.
    let map = IndexMap::new(case.shape, case.mask_strides).ok();
    let map = map.filter(|_| !case.mask_strides.is_empty());
    let elements: u64 = case.shape.iter().product();
    let columns = case.shape.last().map_or(0, |&columns| columns as usize);
    // One for each row.
    let seeds = seeds(elements, columns as u64);
    let draw = Draw {
        dropout: &dropout,
        map: map.as_ref(),
        seeds: case.has_seeds.then_some(Seeds {
            values: &seeds,
            elements_per_seed: columns as u64,
        }),
    };
    let unit = subject.dtype.bytes() as usize;
    let mut x = painted(subject.dtype, elements, 0);
    let mut residual = painted(subject.dtype, elements, 1);
    if subject.dtype == DType::F16 {
        let scale = dropout.probability.training_scale(dropout.scale_mode);
        all_but_cancel(scale, &mut x, &mut residual);
    }
    let mut bias = painted(subject.dtype, columns as u64, 2);
    // Every third sum of the first row is zero.
    for (bias, x) in bias.chunks_exact_mut(unit).zip(x.chunks_exact(unit)).step_by(3) {
        bias.copy_from_slice(x);
        // The sign is the last byte's where the host is little-endian, as every host of wgpu is.
        bias[if cfg!(target_endian = "little") { unit - 1 } else { 0 }] ^= 0x80;
    }
    let elements_of = |bytes: &[u8]| bytemuck::pod_collect_to_vec::<u8, T>(bytes);
    let (mut compared, mut first) = (0, None);
    // All of them, whatever comes of one: each may have a pipeline of its own.
    for (has_bias, has_residual) in [(true, true), (true, false), (false, true), (false, false)] {
        let Placement {
            in_place,
            residual_in_place,
            ..
        } = subject.placement;
        if residual_in_place && !has_residual {
            continue;
        }
        let (bias_elements, residual_elements) = (elements_of(&bias), elements_of(&residual));
        let neighbours = Neighbours {
            bias: has_bias.then_some(&bias_elements[..]),
            residual: has_residual.then_some(&residual_elements[..]),
        };
        let mut expected = vec![T::zeroed(); elements as usize];
        reference::forward_fused(draw, &elements_of(&x), neighbours, &mut expected)?;
        let expected: &[u8] = bytemuck::cast_slice(&expected);
        let mut output = guarded(expected.len());
        if in_place {
            output[..x.len()].copy_from_slice(&x);
        } else if residual_in_place {
            output[..x.len()].copy_from_slice(&residual);
        }
        let job = Job {
            draw,
            first_element: 0,
            task: Task::ForwardFused,
            dtype: subject.dtype,
            elements,
            placement: subject.placement,
            prefill: true,
            input: if in_place { &[] } else { &x },
            output: &mut output,
            bias: has_bias.then_some(&bias[..]),
            residual: has_residual.then_some(if residual_in_place { &[] } else { &residual[..] }),
            mask_in: &[],
            mask_out: &mut [],
        };
        run_job(kernels, job).await?;
        compared += elements;
        if let Some((place, (index, expected, actual))) = first_outside(expected, &output, unit) {
            let lanes = u64::from(subject.random_bits.lanes());
            let g = draw.global(index.min(elements - 1));
            let case = format!(
                "{:?} from {:#x}, p {}, {:?}, bias {has_bias}, residual {has_residual}",
                case.shape, case.element_offset, case.p, case.scale_mode
            );
            let difference = Difference {
                case,
                place,
                index,
                block_lane: (g / lanes, g % lanes),
                input: None,
                expected,
                actual,
            };
            first.get_or_insert(difference);
        }
    }
    Ok((compared, first))
}

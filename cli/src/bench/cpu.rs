//! A case on the CPU path, beside y = x * s over as many bytes on all cores.

use std::error::Error;
use std::time::Instant;

use rayon::prelude::*;
use wgpu_dropout::half::{bf16, f16};
use wgpu_dropout::{DType, Dropout, Element, MaskFormat, cpu};

use super::check::Number;
use super::report::Row;
use super::sample::{Sample, in_turns};
use super::{Case, check, check_memory};
use crate::args::Op;

/// Runs of a short case that make one sample take about this long.
const SAMPLE_S: f64 = 200e-6;

pub fn measure(case: &Case) -> Result<Row, Box<dyn Error>> {
    match case.dtype {
        DType::F32 => measure_as::<f32>(case),
        DType::F16 => measure_as::<f16>(case),
        DType::Bf16 => measure_as::<bf16>(case),
    }
}

/// The case's buffers; words, so that the roof can use them as well.
struct Buffers {
    x: Vec<u32>,
    y: Vec<u32>,
    bits: Vec<u32>,
    bytes: Vec<u8>,
}

fn zeroed<T: Copy + Default>(elements: u64, filler: T) -> Result<Vec<T>, Box<dyn Error>> {
    let mut vec = Vec::new();
    let elements = usize::try_from(elements)?;
    vec.try_reserve_exact(elements)
        .map_err(|error| format!("{elements} x {} bytes: {error}", size_of::<T>()))?;
    // Every page is touched here, not in the first run.
    vec.resize(elements, filler);
    Ok(vec)
}

fn measure_as<T: Number>(case: &Case) -> Result<Row, Box<dyn Error>> {
    let dropout = case.dropout()?;
    check_memory(case.buffer_bytes())?;
    let roof_words = usize::try_from((case.bytes() / 2).div_ceil(4))?;
    let words = case.tensor_bytes().div_ceil(4).max(roof_words as u64);
    let mut buffers = Buffers {
        x: zeroed(words, 0x3f80_0000)?,
        y: zeroed(words, 0xcaca_caca)?,
        bits: zeroed(
            if case.mask == Some(MaskFormat::Bits) {
                case.mask_bytes() / 4
            } else {
                0
            },
            0xcaca_caca,
        )?,
        bytes: zeroed(
            if case.mask == Some(MaskFormat::Bytes) {
                case.elements
            } else {
                0
            },
            0xca,
        )?,
    };
    let elements = usize::try_from(case.elements)?;
    if case.op != Op::Mask {
        check::fill::<T>(&mut bytemuck::cast_slice_mut(&mut buffers.x)[..elements], 0);
    }
    if case.op == Op::Backward {
        match case.mask {
            None => {}
            Some(MaskFormat::Bits) => cpu::bit_mask(&dropout, elements, &mut buffers.bits)?,
            Some(MaskFormat::Bytes) => cpu::byte_mask(&dropout, &mut buffers.bytes)?,
        }
    }

    let start = Instant::now();
    run::<T>(case, &dropout, elements, &mut buffers)?;
    let first_use = start.elapsed().as_secs_f64();
    let start = Instant::now();
    run::<T>(case, &dropout, elements, &mut buffers)?;
    let once = start.elapsed().as_secs_f64();
    let times = (SAMPLE_S / once.max(1e-9)).ceil().clamp(1.0, 1e5) as u32;

    let buffers = std::cell::RefCell::new(buffers);
    let (roofs, cases) = in_turns(
        || {
            let Buffers { x, y, .. } = &mut *buffers.borrow_mut();
            let (x, y) = (&x[..roof_words], &mut y[..roof_words]);
            let start = Instant::now();
            for _ in 0..times {
                scale_only(bytemuck::cast_slice(x), bytemuck::cast_slice_mut(y));
            }
            Ok::<_, Box<dyn Error>>(sample(start, times))
        },
        || {
            let start = Instant::now();
            for _ in 0..times {
                run::<T>(case, &dropout, elements, &mut buffers.borrow_mut())?;
            }
            Ok(sample(start, times))
        },
    )?;
    // The roof wrote over the last result.
    let mut buffers = buffers.into_inner();
    run::<T>(case, &dropout, elements, &mut buffers)?;
    if case.op != Op::Mask {
        check::output::<T>(&dropout, 0, &bytemuck::cast_slice(&buffers.y)[..elements])?;
    }
    match case.mask {
        None => {}
        Some(MaskFormat::Bits) => check::bits(&dropout, 0, elements, &buffers.bits)?,
        Some(MaskFormat::Bytes) => check::bytes(&dropout, 0, &buffers.bytes)?,
    }
    Ok(Row::new(case, None, &roofs, &cases, first_use))
}

fn sample(start: Instant, times: u32) -> Sample {
    Sample {
        wall: start.elapsed().as_secs_f64() / f64::from(times),
        gpu: None,
    }
}

/// The roof: it reads and writes as many bytes as the case, half of them each.
fn scale_only(x: &[f32], y: &mut [f32]) {
    const TASK: usize = 1 << 16;
    let pass = |x: &[f32], y: &mut [f32]| {
        for (y, x) in y.iter_mut().zip(x) {
            *y = x * 1.1;
        }
    };
    if x.len() <= TASK {
        pass(x, y);
    } else {
        x.par_chunks(TASK)
            .zip(y.par_chunks_mut(TASK))
            .for_each(|(x, y)| pass(x, y));
    }
}

fn run<T: Element>(
    case: &Case,
    dropout: &Dropout,
    elements: usize,
    buffers: &mut Buffers,
) -> Result<(), wgpu_dropout::SliceError> {
    let Buffers { x, y, bits, bytes } = buffers;
    if case.op == Op::Mask {
        return match case.mask {
            Some(MaskFormat::Bytes) => cpu::byte_mask(dropout, bytes),
            Some(MaskFormat::Bits) | None => cpu::bit_mask(dropout, elements, bits),
        };
    }
    let x: &[T] = &bytemuck::cast_slice(x)[..elements];
    let y: &mut [T] = &mut bytemuck::cast_slice_mut(y)[..elements];
    match (case.op, case.mask) {
        (Op::Forward, Some(MaskFormat::Bits)) => cpu::forward_with_bit_mask(dropout, x, y, bits),
        (Op::Forward, Some(MaskFormat::Bytes)) => cpu::forward_with_byte_mask(dropout, x, y, bytes),
        (Op::Backward, Some(MaskFormat::Bits)) => cpu::backward_from_bit_mask(dropout, x, bits, y),
        (Op::Backward, Some(MaskFormat::Bytes)) => cpu::backward_from_byte_mask(dropout, x, bytes, y),
        (Op::Backward, None) => cpu::backward(dropout, x, y),
        (Op::Forward | Op::Mask, _) => cpu::forward(dropout, x, y),
    }
}

//! The CPU path beside a scale-only pass, y = x * s, over the same buffers: what memory allows.
//!
//! `cargo bench --bench cpu`; other sizes by `WGPU_DROPOUT_LOG2=20,24`. Throughput counts the bytes read and
//! written. Each operation is checked against the reference on the first elements before it is timed.

#![allow(missing_docs, reason = "criterion's macros make undocumented functions")]
#![allow(clippy::unwrap_used, reason = "a benchmark fails loudly")]

use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use rand_core::Rng as _;
use rayon::prelude::*;
use wgpu_dropout::half::{bf16, f16};
use wgpu_dropout::rand_core;
use wgpu_dropout::{
    Dropout, Element, IndexMap, Neighbours, Philox4x32, Probability, RandomBits, ScaleMode, bit_mask_words, cpu,
    reference,
};

const SEED: u64 = 42;

fn dropout(p: f64, random_bits: RandomBits) -> Dropout {
    let probability = Probability::new(p, random_bits).unwrap();
    Dropout::new(p, SEED).unwrap().with_probability(probability)
}

/// The roof: one pass over the same bytes on all cores, with the same cut into tasks.
fn scale_only<T: Copy + Send + Sync>(x: &[T], y: &mut [T], scale: impl Fn(T) -> T + Sync) {
    const TASK: usize = 1 << 16;
    x.par_chunks(TASK).zip(y.par_chunks_mut(TASK)).for_each(|(x, y)| {
        for (x, y) in x.iter().zip(y) {
            *y = scale(*x);
        }
    });
}

fn check<T: Element>(dropout: &Dropout, x: &[T], y: &[T]) {
    let length = x.len().min(100_000);
    let mut expected = vec![T::zeroed(); length];
    reference::forward(dropout, &x[..length], &mut expected).unwrap();
    let same = bytemuck::cast_slice::<T, u8>(&expected) == bytemuck::cast_slice::<T, u8>(&y[..length]);
    assert!(same, "a wrong result can't post a time");
}

fn operations<T: Element>(group: &mut BenchmarkGroup<'_, WallTime>, x: &[T], y: &mut [T]) {
    let mut mask = vec![0u32; bit_mask_words(x.len() as u64) as usize];
    for random_bits in RandomBits::ALL {
        let dropout = dropout(0.1, random_bits);
        cpu::forward(&dropout, x, y).unwrap();
        check(&dropout, x, y);
        let name = format!("forward, {} bits", random_bits.bits());
        group.bench_function(name, |b| b.iter(|| cpu::forward(&dropout, x, y).unwrap()));
        // Where no line of the cache begins, nor sixteen bytes.
        let (x, y) = (&x[1..], &mut y[1..]);
        cpu::forward(&dropout, x, y).unwrap();
        check(&dropout, x, y);
        let name = format!("forward one element on, {} bits", random_bits.bits());
        group.bench_function(name, |b| b.iter(|| cpu::forward(&dropout, x, y).unwrap()));
    }
    let classic = dropout(0.1, RandomBits::B32).with_scale_mode(ScaleMode::Classic);
    group.bench_function("classic inference", |b| {
        b.iter(|| cpu::inference(&classic, x, y).unwrap());
    });
    let dropout = dropout(0.1, RandomBits::B32);
    cpu::forward_with_bit_mask(&dropout, x, y, &mut mask).unwrap();
    check(&dropout, x, y);
    cpu::backward_from_bit_mask(&dropout, x, &mask, y).unwrap();
    check(&dropout, x, y);
    group.bench_function("forward storing bits", |b| {
        b.iter(|| cpu::forward_with_bit_mask(&dropout, x, y, &mut mask).unwrap());
    });
    group.bench_function("backward from bits", |b| {
        b.iter(|| cpu::backward_from_bit_mask(&dropout, x, &mask, y).unwrap());
    });
    group.bench_function("forward to a new vector", |b| {
        b.iter(|| cpu::forward_to_vec(&dropout, x).unwrap());
    });
    group.bench_function("forward to a new vector, ordinary pages", |b| {
        b.iter(|| {
            let mut y = vec![T::zeroed(); x.len()];
            cpu::forward(&dropout, x, &mut y).unwrap();
            y
        });
    });
    group.bench_function("backward in place", |b| {
        b.iter(|| cpu::backward_in_place(&dropout, y).unwrap());
    });
}

/// The forward pass where decisions are shared or lie elsewhere in the stream.
fn maps<T: Element>(group: &mut BenchmarkGroup<'_, WallTime>, x: &[T], y: &mut [T]) {
    let n = x.len() as u64;
    let permuted = |shape: &[u64], order: &[usize]| IndexMap::plain(shape).unwrap().permuted(order);
    let maps = [
        ("channels of 64 x 64", IndexMap::channels(&[n / 4096, 64, 64])),
        ("channels of 8 x 8", IndexMap::channels(&[n / 8192, 128, 64])),
        ("drop path", IndexMap::drop_path(&[16, n / 16])),
        ("same over time", IndexMap::same_over(&[16, 64, n / 1024], 1)),
        ("a shard's rows of 1024", IndexMap::new(&[n / 1024, 1024], &[4096, 1])),
        ("a shard's rows of 1001", IndexMap::new(&[n / 1001, 1001], &[4004, 1])),
        ("a shard's rows of 100", IndexMap::new(&[n / 100, 100], &[400, 1])),
        ("channels last", permuted(&[4, 64, n / 256], &[0, 2, 1])),
        (
            "channels last, 49 pixels",
            permuted(&[n / (512 * 49), 512, 49], &[0, 2, 1]),
        ),
        ("a matrix by columns", permuted(&[4096, n / 4096], &[1, 0])),
    ];
    for (name, map) in maps {
        let map = map.unwrap();
        let (x, y) = (&x[..map.elements() as usize], &mut y[..map.elements() as usize]);
        let checked = x.len().min(100_000);
        let mut expected = vec![T::zeroed(); checked];
        for random_bits in RandomBits::ALL {
            let dropout = dropout(0.1, random_bits);
            let first = map.window(0, checked as u64).unwrap();
            reference::forward(dropout.over(&first), &x[..checked], &mut expected).unwrap();
            cpu::forward(dropout.over(&map), x, y).unwrap();
            let same = bytemuck::cast_slice::<T, u8>(&expected) == bytemuck::cast_slice::<T, u8>(&y[..checked]);
            assert!(same, "a wrong result can't post a time");
            group.bench_function(format!("{name}, {} bits", random_bits.bits()), |b| {
                b.iter(|| cpu::forward(dropout.over(&map), x, y).unwrap());
            });
        }
    }
}

/// Bias and residual in the same pass, beside a plain pass over the same bytes; the gradient of the bias.
fn neighbours<T: Element>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    x: &[T],
    y: &mut [T],
    plain: impl Fn(T, T) -> T + Sync,
) {
    const TASK: usize = 1 << 16;
    let columns = 1024.min(x.len());
    let residual = x.to_vec();
    let neighbours = Neighbours {
        bias: Some(&x[..columns]),
        residual: Some(&residual[..]),
    };
    group.bench_function("two inputs only", |b| {
        b.iter(|| {
            let inputs = x.par_chunks(TASK).zip(residual.par_chunks(TASK));
            inputs.zip(y.par_chunks_mut(TASK)).for_each(|((x, z), y)| {
                for ((x, z), y) in x.iter().zip(z).zip(y) {
                    *y = plain(*x, *z);
                }
            });
        });
    });
    for random_bits in RandomBits::ALL {
        let dropout = dropout(0.1, random_bits);
        let rows = x.len().min(100_000) / columns * columns;
        let first = Neighbours {
            residual: Some(&residual[..rows]),
            ..neighbours
        };
        let mut expected = vec![T::zeroed(); rows];
        reference::forward_fused(&dropout, &x[..rows], first, &mut expected).unwrap();
        cpu::forward_fused(&dropout, x, neighbours, y).unwrap();
        let same = bytemuck::cast_slice::<T, u8>(&expected) == bytemuck::cast_slice::<T, u8>(&y[..rows]);
        assert!(same, "a wrong result can't post a time");
        group.bench_function(format!("bias and residual, {} bits", random_bits.bits()), |b| {
            b.iter(|| cpu::forward_fused(&dropout, x, neighbours, y).unwrap());
        });
    }
    for columns in [columns, 64] {
        let mut dbias = vec![T::zeroed(); columns];
        group.bench_function(format!("gradient of the bias, rows of {columns}"), |b| {
            b.iter(|| cpu::bias_gradient(x, &mut dbias).unwrap());
        });
    }
}

/// The pieces without a tensor: the generator, a word at a time on one thread, and the masks alone.
fn masks_and_words(criterion: &mut Criterion, log2: u32, elements: usize) {
    let mut group = criterion.benchmark_group(format!("pieces 2^{log2}"));
    group
        .throughput(Throughput::Elements(elements as u64))
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    let mut words = vec![0u32; elements];
    group.bench_function("Philox4x32 words", |b| {
        let mut philox = Philox4x32::new(SEED, 0);
        b.iter(|| philox.fill_bytes(bytemuck::cast_slice_mut(&mut words)));
    });
    let (mut bits, mut expected) = (vec![0u32; elements.div_ceil(32)], vec![0u32; elements.div_ceil(32)]);
    let mut bytes = vec![0u8; elements];
    for random_bits in RandomBits::ALL {
        let dropout = dropout(0.1, random_bits);
        cpu::bit_mask(&dropout, elements, &mut bits).unwrap();
        reference::bit_mask(&dropout, elements, &mut expected).unwrap();
        assert!(bits == expected, "a wrong result can't post a time");
        group.bench_function(format!("bit mask, {} bits", random_bits.bits()), |b| {
            b.iter(|| cpu::bit_mask(&dropout, elements, &mut bits).unwrap());
        });
        group.bench_function(format!("byte mask, {} bits", random_bits.bits()), |b| {
            b.iter(|| cpu::byte_mask(&dropout, &mut bytes).unwrap());
        });
    }
    group.finish();
}

fn cpu_path(criterion: &mut Criterion) {
    let sizes = std::env::var("WGPU_DROPOUT_LOG2").unwrap_or_else(|_| "24,26".to_owned());
    for log2 in sizes.split(',').map(|log2| log2.parse::<u32>().unwrap()) {
        let elements = 1usize << log2;
        masks_and_words(criterion, log2, elements);
        let group_of = |criterion: &mut Criterion,
                        name: &str,
                        bytes: usize,
                        run: &mut dyn FnMut(&mut BenchmarkGroup<'_, WallTime>)| {
            let mut group = criterion.benchmark_group(format!("{name} 2^{log2}"));
            group
                .throughput(Throughput::Bytes((2 * bytes * elements) as u64))
                .sample_size(20)
                .warm_up_time(Duration::from_millis(300))
                .measurement_time(Duration::from_secs(1));
            run(&mut group);
            group.finish();
        };
        let x: Vec<f32> = (0..elements).map(|i| (i % 1000) as f32 + 0.5).collect();
        let mut y = vec![0.0f32; elements];
        group_of(criterion, "f32", 4, &mut |group| {
            group.bench_function("scale only", |b| b.iter(|| scale_only(&x, &mut y, |x| x * 1.1)));
            operations(group, &x, &mut y);
            maps(group, &x, &mut y);
            neighbours(group, &x, &mut y, |x, z| x + z);
        });
        let x: Vec<bf16> = x.iter().map(|&x| bf16::from_f32(x)).collect();
        let mut y = vec![bf16::ZERO; elements];
        group_of(criterion, "bf16", 2, &mut |group| {
            let pass = |x: bf16| bf16::from_bits(x.to_bits().wrapping_mul(3));
            group.bench_function("scale only", |b| b.iter(|| scale_only(&x, &mut y, pass)));
            operations(group, &x, &mut y);
            maps(group, &x, &mut y);
            neighbours(group, &x, &mut y, |x, z| bf16::from_bits(x.to_bits() ^ z.to_bits()));
        });
        let x: Vec<f16> = x.iter().map(|x| f16::from_f32(x.to_f32())).collect();
        let mut y = vec![f16::ZERO; elements];
        group_of(criterion, "f16", 2, &mut |group| {
            let pass = |x: f16| f16::from_bits(x.to_bits().wrapping_mul(3));
            group.bench_function("scale only", |b| b.iter(|| scale_only(&x, &mut y, pass)));
            operations(group, &x, &mut y);
            neighbours(group, &x, &mut y, |x, z| f16::from_bits(x.to_bits() ^ z.to_bits()));
        });
    }
}

criterion_group!(benches, cpu_path);
criterion_main!(benches);

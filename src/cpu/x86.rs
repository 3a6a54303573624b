//! The CPU path compiled for AVX2 and AVX-512, chosen at run time; the only module with `unsafe`.
//!
//! Three things gain: the loops over elements, which the compiler vectorises by itself once it may; the
//! Philox words, which it does not do well, so those are written out; fetching ahead. A word lives in the lower half
//! of a 64-bit lane: the 32 x 32 -> 64 multiplier ignores the upper half, so the high product is a shift
//! and the low product is the product itself. Block numbers are dealt to the lanes in the order in which
//! one unpack of word pairs lays the words out as the stream has them.
//!
//! `unsafe` is the call into a function compiled for more than the build's baseline, after a look at what
//! the processor has, and the prefetch hint. What each gains is in BENCHMARKS.md. The tests compare each of them with the portable words, and the vectors with whichever
//! one is chosen.

#![expect(
    unsafe_code,
    reason = "calls into code for instructions that were detected at run time"
)]

use core::arch::x86_64::{
    __m256i, _MM_HINT_ET0, _MM_HINT_T0, _mm_prefetch, _mm256_add_epi64, _mm256_blend_epi32, _mm256_mul_epu32,
    _mm256_set_epi64x, _mm256_set1_epi64x, _mm256_slli_epi64, _mm256_srli_epi64, _mm256_unpackhi_epi64,
    _mm256_unpacklo_epi64, _mm256_xor_si256,
};
#[cfg(has_avx512)]
use core::arch::x86_64::{
    __m512i, _mm512_add_epi64, _mm512_mask_blend_epi32, _mm512_mul_epu32, _mm512_set_epi64, _mm512_set1_epi64,
    _mm512_slli_epi64, _mm512_srli_epi64, _mm512_ternarylogic_epi64, _mm512_unpackhi_epi64, _mm512_unpacklo_epi64,
};

use super::Job;
use super::words::{Instructions, WORDS};
use crate::Element;
use crate::philox::{MULTIPLIERS, ROUNDS, WEYL};

/// Runs the job with the widest instructions that the processor has, or gives it back.
pub(super) fn run_here<T: Element>(job: Job<'_, T>) -> Result<(), Job<'_, T>> {
    #[cfg(has_avx512)]
    if let Some(avx512) = Avx512::detect() {
        // SAFETY: the processor has each feature that the function is compiled for.
        unsafe { run_avx512(job, avx512) };
        return Ok(());
    }
    if let Some(avx2) = Avx2::detect() {
        // SAFETY: the processor has the feature that the function is compiled for.
        unsafe { run_avx2(job, avx2) };
        return Ok(());
    }
    Err(job)
}

#[cfg(has_avx512)]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn run_avx512<T: Element>(job: Job<'_, T>, instructions: Avx512) {
    job.run_with(instructions);
}

#[target_feature(enable = "avx2")]
fn run_avx2<T: Element>(job: Job<'_, T>, instructions: Avx2) {
    job.run_with(instructions);
}

/// Proof that the processor has AVX-512 F, BW, DQ and VL: there is no other way to one than `detect`.
#[cfg(has_avx512)]
#[derive(Clone, Copy)]
struct Avx512(());

#[cfg(has_avx512)]
impl Avx512 {
    fn detect() -> Option<Self> {
        let has_all = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl");
        has_all.then_some(Self(()))
    }
}

/// Proof that the processor has AVX2: there is no other way to one than `detect`.
#[derive(Clone, Copy)]
struct Avx2(());

impl Avx2 {
    fn detect() -> Option<Self> {
        is_x86_feature_detected!("avx2").then_some(Self(()))
    }
}

#[cfg(has_avx512)]
impl Instructions for Avx512 {
    #[inline(always)]
    fn words(self, seed: u64, subsequence: u64, first: u64, out: &mut [u32; WORDS]) {
        // SAFETY: self proves that the processor has each feature.
        unsafe { words_avx512(seed, subsequence, first, out) }
    }

    #[inline(always)]
    fn fetch<const WRITE: bool, T>(self, elements: &[T], at: usize, len: usize) {
        prefetch::<WRITE, T>(elements, at, len);
    }
}

impl Instructions for Avx2 {
    #[inline(always)]
    fn words(self, seed: u64, subsequence: u64, first: u64, out: &mut [u32; WORDS]) {
        // SAFETY: self proves that the processor has the feature.
        unsafe { words_avx2(seed, subsequence, first, out) }
    }

    #[inline(always)]
    fn fetch<const WRITE: bool, T>(self, elements: &[T], at: usize, len: usize) {
        prefetch::<WRITE, T>(elements, at, len);
    }
}

/// Prefetches the cache lines of `elements[at..at + len]`, as far as they exist. Memory and arithmetic
/// then overlap: the words of one piece are computed while the elements of the next are on their way,
/// which the processor's own prefetchers don't manage between short loops.
#[inline(always)]
fn prefetch<const WRITE: bool, T>(elements: &[T], at: usize, len: usize) {
    const LINE: usize = 64;
    let Some(ahead) = elements.get(at..elements.len().min(at.saturating_add(len))) else {
        return;
    };
    let start = ahead.as_ptr().cast::<i8>();
    for offset in (0..size_of_val(ahead)).step_by(LINE) {
        // SAFETY: a hint that never faults; the address is inside the slice all the same.
        unsafe {
            let line = start.add(offset);
            if WRITE {
                _mm_prefetch::<_MM_HINT_ET0>(line);
            } else {
                _mm_prefetch::<_MM_HINT_T0>(line);
            }
        }
    }
}

/// The upper and the lower word of a seed or a subsequence as lanes take them.
const fn halves(value: u64) -> [i64; 2] {
    [(value & 0xffff_ffff) as i64, (value >> 32) as i64]
}

/// Registers that go through the rounds side by side, to keep the multipliers busy.
const SIDE_BY_SIDE: usize = 4;

#[cfg(has_avx512)]
#[expect(
    clippy::incompatible_msrv,
    reason = "has_avx512 is set from Rust 1.89 on, where these are stable"
)]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn words_avx512(seed: u64, subsequence: u64, first: u64, out: &mut [u32; WORDS]) {
    const BLOCKS: usize = 8;
    let order = _mm512_set_epi64(7, 3, 6, 2, 5, 1, 4, 0);
    let [m0, m1] = MULTIPLIERS.map(|m| _mm512_set1_epi64(i64::from(m)));
    let [s0, s1] = halves(subsequence).map(|word| _mm512_set1_epi64(word));
    for (out, i) in out.chunks_exact_mut(4 * BLOCKS * SIDE_BY_SIDE).zip(0u64..) {
        let mut c: [[__m512i; 4]; SIDE_BY_SIDE] = core::array::from_fn(|j| {
            let start = first.wrapping_add(i * (BLOCKS * SIDE_BY_SIDE) as u64 + (j * BLOCKS) as u64);
            let blocks = _mm512_add_epi64(_mm512_set1_epi64(start as i64), order);
            [blocks, _mm512_srli_epi64::<32>(blocks), s0, s1]
        });
        let mut key = [seed as u32, (seed >> 32) as u32];
        for _ in 0..ROUNDS {
            let [k0, k1] = key.map(|word| _mm512_set1_epi64(i64::from(word)));
            for c in &mut c {
                let a = _mm512_mul_epu32(m0, c[0]);
                let b = _mm512_mul_epu32(m1, c[2]);
                // 0x96: the exclusive or of three.
                c[0] = _mm512_ternarylogic_epi64::<0x96>(_mm512_srli_epi64::<32>(b), c[1], k0);
                c[2] = _mm512_ternarylogic_epi64::<0x96>(_mm512_srli_epi64::<32>(a), c[3], k1);
                c[1] = b;
                c[3] = a;
            }
            key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
        }
        for (out, c) in out.chunks_exact_mut(4 * BLOCKS).zip(c) {
            let low = _mm512_mask_blend_epi32(0xaaaa, c[0], _mm512_slli_epi64::<32>(c[1]));
            let high = _mm512_mask_blend_epi32(0xaaaa, c[2], _mm512_slli_epi64::<32>(c[3]));
            let (front, back) = out.split_at_mut(2 * BLOCKS);
            front.copy_from_slice(&bytemuck::cast::<__m512i, [u32; 16]>(_mm512_unpacklo_epi64(low, high)));
            back.copy_from_slice(&bytemuck::cast::<__m512i, [u32; 16]>(_mm512_unpackhi_epi64(low, high)));
        }
    }
}

#[target_feature(enable = "avx2")]
fn words_avx2(seed: u64, subsequence: u64, first: u64, out: &mut [u32; WORDS]) {
    const BLOCKS: usize = 4;
    let order = _mm256_set_epi64x(3, 1, 2, 0);
    let [m0, m1] = MULTIPLIERS.map(|m| _mm256_set1_epi64x(i64::from(m)));
    let [s0, s1] = halves(subsequence).map(|word| _mm256_set1_epi64x(word));
    for (out, i) in out.chunks_exact_mut(4 * BLOCKS * SIDE_BY_SIDE).zip(0u64..) {
        let mut c: [[__m256i; 4]; SIDE_BY_SIDE] = core::array::from_fn(|j| {
            let start = first.wrapping_add(i * (BLOCKS * SIDE_BY_SIDE) as u64 + (j * BLOCKS) as u64);
            let blocks = _mm256_add_epi64(_mm256_set1_epi64x(start as i64), order);
            [blocks, _mm256_srli_epi64::<32>(blocks), s0, s1]
        });
        let mut key = [seed as u32, (seed >> 32) as u32];
        for _ in 0..ROUNDS {
            let [k0, k1] = key.map(|word| _mm256_set1_epi64x(i64::from(word)));
            for c in &mut c {
                let a = _mm256_mul_epu32(m0, c[0]);
                let b = _mm256_mul_epu32(m1, c[2]);
                c[0] = _mm256_xor_si256(_mm256_xor_si256(_mm256_srli_epi64::<32>(b), c[1]), k0);
                c[2] = _mm256_xor_si256(_mm256_xor_si256(_mm256_srli_epi64::<32>(a), c[3]), k1);
                c[1] = b;
                c[3] = a;
            }
            key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
        }
        for (out, c) in out.chunks_exact_mut(4 * BLOCKS).zip(c) {
            let low = _mm256_blend_epi32::<0b1010_1010>(c[0], _mm256_slli_epi64::<32>(c[1]));
            let high = _mm256_blend_epi32::<0b1010_1010>(c[2], _mm256_slli_epi64::<32>(c[3]));
            let (front, back) = out.split_at_mut(2 * BLOCKS);
            front.copy_from_slice(&bytemuck::cast::<__m256i, [u32; 8]>(_mm256_unpacklo_epi64(low, high)));
            back.copy_from_slice(&bytemuck::cast::<__m256i, [u32; 8]>(_mm256_unpackhi_epi64(low, high)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::words::Portable;

    /// Starts around carries of the low and of both words; nothing in them is symmetric.
    const STARTS: [u64; 6] = [0, 1, 0xffff_fff0, 0x1234_5678_ffff_ffe1, u64::MAX - 7, u64::MAX];

    fn check(instructions: impl Instructions) {
        for first in STARTS {
            let (mut expected, mut actual) = ([0; WORDS], [0; WORDS]);
            Portable.words(0xfeed_face_cafe_beef, 0x0123_4567_89ab_cdef, first, &mut expected);
            instructions.words(0xfeed_face_cafe_beef, 0x0123_4567_89ab_cdef, first, &mut actual);
            assert_eq!(actual, expected, "from {first:#x}");
        }
    }

    #[test]
    fn words_equal_the_portable_ones() {
        #[cfg(has_avx512)]
        if let Some(avx512) = Avx512::detect() {
            check(avx512);
        }
        if let Some(avx2) = Avx2::detect() {
            check(avx2);
        }
    }

    /// Every instruction set that the processor has, not only the one that is chosen, through whole jobs.
    #[test]
    #[allow(clippy::print_stdout, reason = "says what there was to compare")]
    fn jobs_equal_the_portable_ones() {
        use crate::cpu::{Data, MaskFormat, Sink, training};
        type RunJob = fn(Job<'_, f32>);
        let mut sets: Vec<(&str, RunJob)> = Vec::new();
        #[cfg(has_avx512)]
        if Avx512::detect().is_some() {
            sets.push(("avx512", |job| {
                let avx512 = Avx512::detect().expect("it was there just now");
                // SAFETY: detected.
                unsafe { run_avx512(job, avx512) };
            }));
        }
        if Avx2::detect().is_some() {
            sets.push(("avx2", |job| {
                let avx2 = Avx2::detect().expect("it was there just now");
                // SAFETY: detected.
                unsafe { run_avx2(job, avx2) };
            }));
        }
        // What the processor has not can't be compared; with nothing captured, this says what was.
        println!(
            "compared with the portable path: {:?}",
            sets.iter().map(|(name, _)| *name).collect::<Vec<_>>()
        );
        let x: Vec<f32> = (0..5000).map(|i| i as f32 - 2500.0).collect();
        for random_bits in crate::RandomBits::ALL {
            for store in [None, Some(MaskFormat::Bits), Some(MaskFormat::Bytes)] {
                let probability = crate::Probability::new(0.3, random_bits).expect("a probability");
                let dropout = crate::Dropout::new(0.3, 5)
                    .expect("a probability")
                    .with_probability(probability);
                let dropout = dropout.with_element_offset((1 << 34) - 999);
                let run = |run_job: RunJob| {
                    let (mut y, mut bits, mut bytes) = (vec![0.0f32; 5000], vec![0u32; 157], vec![0u8; 5000]);
                    let sink = match store {
                        None => Sink::None,
                        Some(MaskFormat::Bits) => Sink::Bits(&mut bits),
                        Some(MaskFormat::Bytes) => Sink::Bytes(&mut bytes),
                    };
                    let job = Job {
                        sink,
                        ..training(&dropout, 5000, Data::Apart(&x, &mut y))
                    };
                    run_job(job);
                    (y.iter().map(|y| y.to_bits()).collect::<Vec<_>>(), bits, bytes)
                };
                let expected = run(|job| job.run_with(Portable));
                for (name, run_job) in &sets {
                    assert_eq!(run(*run_job), expected, "{name}, {random_bits:?}, {store:?}");
                }
            }
        }
    }
}

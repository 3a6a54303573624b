//! The CPU path compiled for AVX2 and AVX-512, chosen at run time; with `unsafe`, as else only `pages` has it.
//!
//! Four things gain: the loops over elements, which the compiler vectorises by itself once it may; the
//! Philox words, which it does not do well, so those are written out; fetching ahead; storing long results past the
//! caches. A word lives in the lower half
//! of a 64-bit lane: the 32 x 32 -> 64 multiplier ignores the upper half, so the high product is a shift
//! and the low product is the product itself. Block numbers are dealt to the lanes in the order in which
//! one unpack of word pairs lays the words out as the stream has them.
//!
//! `unsafe` is the call into a function compiled for more than the build's baseline, after a look at what
//! the processor has, the prefetch hint and the stores past the caches. What each gains is in BENCHMARKS.md. The tests compare each of
//! them with the portable words, and the vectors with whichever one is chosen.

#![expect(
    unsafe_code,
    reason = "calls into code for instructions that were detected at run time"
)]

use core::arch::x86_64::{
    __m128i, __m256, __m256i, __m512, __m512i, _CMP_UNORD_Q, _MM_FROUND_NO_EXC, _MM_FROUND_TO_NEAREST_INT,
    _MM_HINT_ET0, _MM_HINT_T0, _mm_prefetch, _mm_sfence, _mm_stream_si128, _mm256_add_epi32, _mm256_add_epi64,
    _mm256_and_ps, _mm256_and_si256, _mm256_blend_epi32, _mm256_blendv_epi8, _mm256_blendv_ps, _mm256_castps_si256,
    _mm256_castsi256_ps, _mm256_cmp_ps, _mm256_cmpeq_epi8, _mm256_cmpeq_epi16, _mm256_cmpeq_epi32, _mm256_cmpgt_epi16,
    _mm256_cmple_epu8_mask, _mm256_cvtepi8_epi16, _mm256_cvtepi16_epi32, _mm256_cvtph_ps, _mm256_cvtps_ph,
    _mm256_maskz_set1_epi8, _mm256_min_epu8, _mm256_min_epu16, _mm256_min_epu32, _mm256_movemask_epi8,
    _mm256_mul_epu32, _mm256_mul_ps, _mm256_or_ps, _mm256_or_si256, _mm256_packs_epi16, _mm256_packs_epi32,
    _mm256_packus_epi32, _mm256_permute4x64_epi64, _mm256_set_epi16, _mm256_set_epi64x, _mm256_set1_epi8,
    _mm256_set1_epi16, _mm256_set1_epi32, _mm256_set1_epi64x, _mm256_set1_ps, _mm256_setzero_si256, _mm256_shuffle_ps,
    _mm256_slli_epi64, _mm256_srli_epi32, _mm256_srli_epi64, _mm256_stream_si256, _mm256_test_epi8_mask,
    _mm256_unpackhi_epi16, _mm256_unpackhi_epi64, _mm256_unpacklo_epi16, _mm256_unpacklo_epi64, _mm256_xor_si256,
    _mm512_add_epi32, _mm512_add_epi64, _mm512_and_si512, _mm512_castps_si512, _mm512_castsi512_ps,
    _mm512_cmpgt_epi16_mask, _mm512_cmple_epu16_mask, _mm512_cmple_epu32_mask, _mm512_cvtepi64_epi32, _mm512_cvtph_ps,
    _mm512_cvtps_ph, _mm512_mask_blend_epi16, _mm512_mask_blend_epi32, _mm512_maskz_mul_round_ps,
    _mm512_maskz_permutex2var_epi16, _mm512_mul_epu32, _mm512_permutexvar_epi64, _mm512_set_epi64, _mm512_set1_epi16,
    _mm512_set1_epi32, _mm512_set1_epi64, _mm512_set1_ps, _mm512_setzero_si512, _mm512_slli_epi64, _mm512_srli_epi64,
    _mm512_stream_si512, _mm512_ternarylogic_epi64, _mm512_test_epi32_mask, _mm512_unpackhi_epi16,
    _mm512_unpackhi_epi64, _mm512_unpacklo_epi16, _mm512_unpacklo_epi64, _mm512_xor_si512,
};

use std::sync::OnceLock;

use half::{bf16, f16};

use super::job::Job;
use super::words::{BATCH, Blocks, Instructions, Portable, WORDS};
use crate::Element;
use crate::philox::{MULTIPLIERS, ROUNDS, WEYL};

/// Runs the job with the widest instructions that the processor has, or gives it back.
#[expect(clippy::result_large_err, reason = "no error: the job goes back, inlined")]
pub(super) fn run_here<T: Element>(job: Job<'_, T>) -> Result<(), Job<'_, T>> {
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

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn run_avx512<T: Element>(job: Job<'_, T>, instructions: Avx512) {
    job.run_with(instructions);
}

#[target_feature(enable = "avx2,f16c")]
fn run_avx2<T: Element>(job: Job<'_, T>, instructions: Avx2) {
    job.run_with(instructions);
}

/// Proof that the processor has AVX-512 F, BW, DQ and VL: there is no other way to one than `detect`.
#[derive(Clone, Copy)]
struct Avx512(());

impl Avx512 {
    fn detect() -> Option<Self> {
        let has_all = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl");
        has_all.then_some(Self(()))
    }
}

/// Proof that the processor has AVX2 and F16C: there is no other way to one than `detect`.
#[derive(Clone, Copy)]
struct Avx2(());

impl Avx2 {
    fn detect() -> Option<Self> {
        (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("f16c")).then_some(Self(()))
    }
}

impl Instructions for Avx512 {
    #[inline(always)]
    fn words(self, seed: u64, subsequence: u64, first: u64, out: &mut [u32; WORDS]) {
        // SAFETY: self proves that the processor has each feature.
        unsafe { words_avx512(seed, subsequence, first, out) }
    }

    #[inline(always)]
    fn words_of(self, seed: u64, subsequence: u64, numbers: &[u64; BATCH], out: &mut [u32; WORDS]) {
        // SAFETY: as above.
        unsafe { words_of_avx512(seed, subsequence, numbers, out) }
    }

    #[inline(always)]
    fn blocks(self, seed: u64, subsequence: u64, numbers: &[u64; BATCH], out: &mut Blocks) {
        // SAFETY: as above.
        unsafe { blocks_avx512(seed, subsequence, numbers, out) }
    }

    /// A bit for each.
    type Kept = u32;

    #[inline(always)]
    fn all(self) -> Self::Kept {
        u32::MAX
    }

    #[inline(always)]
    fn at_most_u32(self, these: &[u32; 32], limit: u32) -> Self::Kept {
        // SAFETY: as above.
        unsafe { at_most_u32_avx512(these, limit) }
    }

    #[inline(always)]
    fn at_most_u16(self, these: &[u16; 32], limit: u16) -> Self::Kept {
        // SAFETY: as above.
        unsafe { at_most_u16_avx512(these, limit) }
    }

    #[inline(always)]
    fn at_most_u8(self, these: &[u8; 32], limit: u8) -> Self::Kept {
        // SAFETY: as above.
        unsafe { at_most_u8_avx512(these, limit) }
    }

    #[inline(always)]
    fn not_0(self, these: &[u8; 32]) -> Self::Kept {
        // SAFETY: as above.
        unsafe { not_0_avx512(these) }
    }

    #[inline(always)]
    fn of_bits(self, bits: u32) -> u32 {
        bits
    }

    #[inline(always)]
    fn bits(self, kept: u32) -> u32 {
        kept
    }

    #[inline(always)]
    fn bytes(self, kept: u32) -> [u8; 32] {
        // SAFETY: as above.
        unsafe { bytes_avx512(kept) }
    }

    #[inline(always)]
    fn dropped_f32(self, x: [f32; 32], kept: Self::Kept, scale: f32) -> [f32; 32] {
        // SAFETY: as above.
        unsafe { dropped_f32_avx512(x, kept, scale) }
    }

    #[inline(always)]
    fn dropped_f16(self, x: [f16; 32], kept: Self::Kept, scale: f32) -> [f16; 32] {
        // SAFETY: as above.
        unsafe { dropped_f16_avx512(x, kept, scale) }
    }

    #[inline(always)]
    fn dropped_bf16(self, x: [bf16; 32], kept: Self::Kept, scale: f32) -> [bf16; 32] {
        // SAFETY: as above.
        unsafe { dropped_bf16_avx512(x, kept, scale) }
    }

    #[inline(always)]
    fn widened_f16(self, x: [f16; 32]) -> [f32; 32] {
        // SAFETY: as above.
        unsafe { widened_f16_avx512(x) }
    }

    #[inline(always)]
    fn narrowed_f16(self, wide: [f32; 32]) -> [f16; 32] {
        // SAFETY: as above.
        unsafe { narrowed_f16_avx512(wide) }
    }

    #[inline(always)]
    fn fetch<const WRITE: bool, T>(self, elements: &[T], at: usize, len: usize) {
        prefetch::<WRITE, T>(elements, at, len);
    }

    #[inline(always)]
    fn stream<T: bytemuck::Pod>(self, from: &[T], to: &mut [T]) {
        // SAFETY: as above.
        unsafe { stream_avx512(bytemuck::cast_slice(from), bytemuck::cast_slice_mut(to)) }
    }

    #[inline(always)]
    fn streamed(self) {
        fence();
    }
}

impl Instructions for Avx2 {
    #[inline(always)]
    fn words(self, seed: u64, subsequence: u64, first: u64, out: &mut [u32; WORDS]) {
        // SAFETY: self proves that the processor has the feature.
        unsafe { words_avx2(seed, subsequence, first, out) }
    }

    #[inline(always)]
    fn words_of(self, seed: u64, subsequence: u64, numbers: &[u64; BATCH], out: &mut [u32; WORDS]) {
        // SAFETY: as above.
        unsafe { words_of_avx2(seed, subsequence, numbers, out) }
    }

    #[inline(always)]
    fn blocks(self, seed: u64, subsequence: u64, numbers: &[u64; BATCH], out: &mut Blocks) {
        // SAFETY: as above.
        unsafe { blocks_avx2(seed, subsequence, numbers, out) }
    }

    /// A lane of 16 bits for each, 0 or -1.
    type Kept = Lanes;

    #[inline(always)]
    fn all(self) -> Self::Kept {
        [[-1; 16]; 2]
    }

    #[inline(always)]
    fn at_most_u32(self, these: &[u32; 32], limit: u32) -> Self::Kept {
        // SAFETY: as above.
        unsafe { at_most_u32_avx2(these, limit) }
    }

    #[inline(always)]
    fn at_most_u16(self, these: &[u16; 32], limit: u16) -> Self::Kept {
        // SAFETY: as above.
        unsafe { at_most_u16_avx2(these, limit) }
    }

    #[inline(always)]
    fn at_most_u8(self, these: &[u8; 32], limit: u8) -> Self::Kept {
        // SAFETY: as above.
        unsafe { at_most_u8_avx2(these, limit) }
    }

    #[inline(always)]
    fn not_0(self, these: &[u8; 32]) -> Self::Kept {
        // SAFETY: as above.
        unsafe { not_0_avx2(these) }
    }

    #[inline(always)]
    fn of_bits(self, bits: u32) -> Lanes {
        // SAFETY: as above.
        unsafe { of_bits_avx2(bits) }
    }

    #[inline(always)]
    fn bits(self, kept: Lanes) -> u32 {
        // SAFETY: as above.
        unsafe { bits_avx2(kept) }
    }

    #[inline(always)]
    fn bytes(self, kept: Lanes) -> [u8; 32] {
        // SAFETY: as above.
        unsafe { bytes_avx2(kept) }
    }

    #[inline(always)]
    fn dropped_f32(self, x: [f32; 32], kept: Self::Kept, scale: f32) -> [f32; 32] {
        // SAFETY: as above.
        unsafe { dropped_f32_avx2(x, kept, scale) }
    }

    #[inline(always)]
    fn dropped_f16(self, x: [f16; 32], kept: Self::Kept, scale: f32) -> [f16; 32] {
        // SAFETY: as above.
        unsafe { dropped_f16_avx2(x, kept, scale) }
    }

    #[inline(always)]
    fn dropped_bf16(self, x: [bf16; 32], kept: Self::Kept, scale: f32) -> [bf16; 32] {
        // SAFETY: as above.
        unsafe { dropped_bf16_avx2(x, kept, scale) }
    }

    #[inline(always)]
    fn widened_f16(self, x: [f16; 32]) -> [f32; 32] {
        // SAFETY: as above.
        unsafe { widened_f16_avx2(x) }
    }

    #[inline(always)]
    fn narrowed_f16(self, wide: [f32; 32]) -> [f16; 32] {
        // SAFETY: as above.
        unsafe { narrowed_f16_avx2(wide) }
    }

    #[inline(always)]
    fn fetch<const WRITE: bool, T>(self, elements: &[T], at: usize, len: usize) {
        prefetch::<WRITE, T>(elements, at, len);
    }

    #[inline(always)]
    fn stream<T: bytemuck::Pod>(self, from: &[T], to: &mut [T]) {
        // SAFETY: as above.
        unsafe { stream_avx2(bytemuck::cast_slice(from), bytemuck::cast_slice_mut(to)) }
    }

    #[inline(always)]
    fn streamed(self) {
        fence();
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

/// A function that stores past the caches: whole registers where they fit in line, what is left at either end by sixteen
/// bytes, so that the processor puts a line together that two calls share, and single bytes as ever.
macro_rules! stream {
    ($name:ident, $features:literal, $register:ty, $store:ident) => {
        #[target_feature(enable = $features)]
        #[inline]
        fn $name(from: &[u8], to: &mut [u8]) {
            #[inline(always)]
            fn in_parts<R: bytemuck::Pod>(
                from: &[u8],
                to: &mut [u8],
                store: impl Fn(&mut R, R),
                at_the_ends: impl Fn(&[u8], &mut [u8]),
            ) {
                let (head, middle, tail) = bytemuck::pod_align_to_mut::<u8, R>(to);
                let (from_head, from) = from.split_at(head.len());
                let (from, from_tail) = from.split_at(size_of_val(middle));
                at_the_ends(from_head, head);
                for (from, to) in from.chunks_exact(size_of::<R>()).zip(middle) {
                    store(to, bytemuck::pod_read_unaligned(from));
                }
                at_the_ends(from_tail, tail);
            }
            // SAFETY: the place is borrowed for writing and aligned as its type is; `streamed` has the fence that
            // such stores need before others may read.
            let wide = |to: &mut $register, from| unsafe { $store(to, from) };
            // SAFETY: as above.
            let narrow = |to: &mut __m128i, from| unsafe { _mm_stream_si128(to, from) };
            in_parts(from, to, wide, |from, to| {
                in_parts(from, to, narrow, |from, to| to.copy_from_slice(from));
            });
        }
    };
}

stream!(
    stream_avx512,
    "avx512f,avx512bw,avx512dq,avx512vl",
    __m512i,
    _mm512_stream_si512
);
stream!(stream_avx2, "avx2,f16c", __m256i, _mm256_stream_si256);

#[inline(always)]
fn fence() {
    // SAFETY: every x86-64 processor has it.
    unsafe { _mm_sfence() }
}

/// Whether jobs are run with AVX-512.
pub(super) fn has_avx512() -> bool {
    Avx512::detect().is_some()
}

/// Bytes of the third-level cache, as the processor gives them; the most there can be where it does not.
pub(super) fn third_level_cache() -> usize {
    static BYTES: OnceLock<usize> = OnceLock::new();
    *BYTES.get_or_init(|| {
        let caches = raw_cpuid::CpuId::new().get_cache_parameters();
        let bytes = caches
            .into_iter()
            .flatten()
            .filter(|cache| cache.level() == 3)
            .map(|cache| {
                cache.associativity() * cache.physical_line_partitions() * cache.coherency_line_size() * cache.sets()
            });
        bytes.max().unwrap_or(usize::MAX)
    })
}

/// What the first two rounds of neighbouring blocks have in common: those whose numbers have the same
/// upper word.
struct Neighbours {
    /// Exclusive ors into words 2 of the first round, and 0 and 2 of the second.
    first: u32,
    second: [u32; 2],
    /// The product that becomes word 3 of the second round.
    product: u32,
}

impl Neighbours {
    /// Of `count` blocks from `first` on, if they are neighbours: all but once in 2^32 blocks.
    #[inline(always)]
    fn of(seed: u64, subsequence: u64, first: u64, count: u32) -> Option<Self> {
        (first as u32).checked_add(count - 1)?;
        let [k0, k1] = [seed as u32, (seed >> 32) as u32];
        let product = |multiplier: u32, word: u32| u64::from(multiplier) * u64::from(word);
        let b = product(MULTIPLIERS[1], subsequence as u32);
        let a = product(MULTIPLIERS[0], (b >> 32) as u32 ^ (first >> 32) as u32 ^ k0);
        Some(Self {
            first: (subsequence >> 32) as u32 ^ k1,
            second: [
                b as u32 ^ k0.wrapping_add(WEYL[0]),
                (a >> 32) as u32 ^ k1.wrapping_add(WEYL[1]),
            ],
            product: a as u32,
        })
    }
}

/// The key of round `round`, from 0 on.
const fn round_key(seed: u64, round: usize) -> [u32; 2] {
    let round = round as u32;
    [
        (seed as u32).wrapping_add(WEYL[0].wrapping_mul(round)),
        ((seed >> 32) as u32).wrapping_add(WEYL[1].wrapping_mul(round)),
    ]
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn words_avx512(seed: u64, subsequence: u64, first: u64, out: &mut [u32; WORDS]) {
    const BLOCKS: usize = 8;
    // Registers that go through the rounds side by side, to keep the multipliers busy.
    const SIDE_BY_SIDE: usize = 4;
    let Some(neighbours) = Neighbours::of(seed, subsequence, first, (WORDS / 4) as u32) else {
        return Portable.words(seed, subsequence, first, out);
    };
    let lanes = |word: u32| _mm512_set1_epi64(i64::from(word));
    let order = order_avx512();
    let [m0, m1] = MULTIPLIERS.map(lanes);
    let [n1, n20, n22, product] = [
        neighbours.first,
        neighbours.second[0],
        neighbours.second[1],
        neighbours.product,
    ]
    .map(lanes);
    for (out, i) in out.chunks_exact_mut(4 * BLOCKS * SIDE_BY_SIDE).zip(0u64..) {
        let mut c: [[__m512i; 4]; SIDE_BY_SIDE] = core::array::from_fn(|j| {
            let start = first + i * (BLOCKS * SIDE_BY_SIDE) as u64 + (j * BLOCKS) as u64;
            let blocks = _mm512_add_epi64(_mm512_set1_epi64(start as i64), order);
            // The first two rounds, as far as they are the block's own.
            let a = _mm512_mul_epu32(m0, blocks);
            let b = _mm512_mul_epu32(m1, _mm512_xor_si512(_mm512_srli_epi64::<32>(a), n1));
            [
                _mm512_xor_si512(_mm512_srli_epi64::<32>(b), n20),
                b,
                _mm512_xor_si512(a, n22),
                product,
            ]
        });
        rounds_avx512(seed, 2, &mut c);
        for (out, c) in out.chunks_exact_mut(4 * BLOCKS).zip(c) {
            join_avx512(c, out);
        }
    }
}

/// The rounds from `first` on.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
#[inline]
fn rounds_avx512<const N: usize>(seed: u64, first: usize, c: &mut [[__m512i; 4]; N]) {
    let lanes = |word: u32| _mm512_set1_epi64(i64::from(word));
    let [m0, m1] = MULTIPLIERS.map(lanes);
    for round in first..ROUNDS {
        let [k0, k1] = round_key(seed, round).map(lanes);
        for c in &mut *c {
            let a = _mm512_mul_epu32(m0, c[0]);
            let b = _mm512_mul_epu32(m1, c[2]);
            // 0x96: the exclusive or of three.
            c[0] = _mm512_ternarylogic_epi64::<0x96>(_mm512_srli_epi64::<32>(b), c[1], k0);
            c[2] = _mm512_ternarylogic_epi64::<0x96>(_mm512_srli_epi64::<32>(a), c[3], k1);
            c[1] = b;
            c[3] = a;
        }
    }
}

/// The words of eight blocks, dealt to the lanes in [`order_avx512`], block by block.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
#[inline]
fn join_avx512(c: [__m512i; 4], out: &mut [u32]) {
    let low = _mm512_mask_blend_epi32(0xaaaa, c[0], _mm512_slli_epi64::<32>(c[1]));
    let high = _mm512_mask_blend_epi32(0xaaaa, c[2], _mm512_slli_epi64::<32>(c[3]));
    let (front, back) = out.split_at_mut(out.len() / 2);
    front.copy_from_slice(&bytemuck::cast::<__m512i, [u32; 16]>(_mm512_unpacklo_epi64(low, high)));
    back.copy_from_slice(&bytemuck::cast::<__m512i, [u32; 16]>(_mm512_unpackhi_epi64(low, high)));
}

/// Which block goes to which lane, so that one unpack of word pairs lays them out in order.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
#[inline]
fn order_avx512() -> __m512i {
    _mm512_set_epi64(7, 3, 6, 2, 5, 1, 4, 0)
}

#[target_feature(enable = "avx2")]
fn words_avx2(seed: u64, subsequence: u64, first: u64, out: &mut [u32; WORDS]) {
    const BLOCKS: usize = 4;
    // There are 16 registers, half as many as with AVX-512.
    const SIDE_BY_SIDE: usize = 2;
    let Some(neighbours) = Neighbours::of(seed, subsequence, first, (WORDS / 4) as u32) else {
        return Portable.words(seed, subsequence, first, out);
    };
    let lanes = |word: u32| _mm256_set1_epi64x(i64::from(word));
    let order = _mm256_set_epi64x(3, 1, 2, 0);
    let [m0, m1] = MULTIPLIERS.map(lanes);
    let [n1, n20, n22, product] = [
        neighbours.first,
        neighbours.second[0],
        neighbours.second[1],
        neighbours.product,
    ]
    .map(lanes);
    for (out, i) in out.chunks_exact_mut(4 * BLOCKS * SIDE_BY_SIDE).zip(0u64..) {
        let mut c: [[__m256i; 4]; SIDE_BY_SIDE] = core::array::from_fn(|j| {
            let start = first + i * (BLOCKS * SIDE_BY_SIDE) as u64 + (j * BLOCKS) as u64;
            let blocks = _mm256_add_epi64(_mm256_set1_epi64x(start as i64), order);
            // The first two rounds, as far as they are the block's own.
            let a = _mm256_mul_epu32(m0, blocks);
            let b = _mm256_mul_epu32(m1, _mm256_xor_si256(_mm256_srli_epi64::<32>(a), n1));
            [
                _mm256_xor_si256(_mm256_srli_epi64::<32>(b), n20),
                b,
                _mm256_xor_si256(a, n22),
                product,
            ]
        });
        rounds_avx2(seed, 2, &mut c);
        for (out, c) in out.chunks_exact_mut(4 * BLOCKS).zip(c) {
            join_avx2(c, out);
        }
    }
}

/// The rounds from `first` on.
#[target_feature(enable = "avx2")]
#[inline]
fn rounds_avx2<const N: usize>(seed: u64, first: usize, c: &mut [[__m256i; 4]; N]) {
    let lanes = |word: u32| _mm256_set1_epi64x(i64::from(word));
    let [m0, m1] = MULTIPLIERS.map(lanes);
    for round in first..ROUNDS {
        let [k0, k1] = round_key(seed, round).map(lanes);
        for c in &mut *c {
            let a = _mm256_mul_epu32(m0, c[0]);
            let b = _mm256_mul_epu32(m1, c[2]);
            c[0] = _mm256_xor_si256(_mm256_xor_si256(_mm256_srli_epi64::<32>(b), c[1]), k0);
            c[2] = _mm256_xor_si256(_mm256_xor_si256(_mm256_srli_epi64::<32>(a), c[3]), k1);
            c[1] = b;
            c[3] = a;
        }
    }
}

/// The words of four blocks, dealt to the lanes as 0, 2, 1, 3, block by block.
#[target_feature(enable = "avx2")]
#[inline]
fn join_avx2(c: [__m256i; 4], out: &mut [u32]) {
    let low = _mm256_blend_epi32::<0b1010_1010>(c[0], _mm256_slli_epi64::<32>(c[1]));
    let high = _mm256_blend_epi32::<0b1010_1010>(c[2], _mm256_slli_epi64::<32>(c[3]));
    let (front, back) = out.split_at_mut(out.len() / 2);
    front.copy_from_slice(&bytemuck::cast::<__m256i, [u32; 8]>(_mm256_unpacklo_epi64(low, high)));
    back.copy_from_slice(&bytemuck::cast::<__m256i, [u32; 8]>(_mm256_unpackhi_epi64(low, high)));
}

/// The words of blocks anywhere, eight a register.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
#[inline]
fn drawn_avx512(seed: u64, subsequence: u64, numbers: [__m512i; BATCH / 8]) -> [[__m512i; 4]; BATCH / 8] {
    let lanes = |word: u32| _mm512_set1_epi64(i64::from(word));
    let after = [lanes(subsequence as u32), lanes((subsequence >> 32) as u32)];
    let mut c = numbers.map(|blocks| [blocks, _mm512_srli_epi64::<32>(blocks), after[0], after[1]]);
    rounds_avx512(seed, 0, &mut c);
    c
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn words_of_avx512(seed: u64, subsequence: u64, numbers: &[u64; BATCH], out: &mut [u32; WORDS]) {
    let numbers: [__m512i; BATCH / 8] = bytemuck::cast(*numbers);
    let dealt = numbers.map(|numbers| _mm512_permutexvar_epi64(order_avx512(), numbers));
    let c = drawn_avx512(seed, subsequence, dealt);
    for (out, c) in out.chunks_exact_mut(WORDS / c.len()).zip(c) {
        join_avx512(c, out);
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn blocks_avx512(seed: u64, subsequence: u64, numbers: &[u64; BATCH], out: &mut Blocks) {
    const LANES: usize = 8;
    let c = drawn_avx512(seed, subsequence, bytemuck::cast(*numbers));
    for (at, c) in (0..BATCH).step_by(LANES).zip(c) {
        for (out, c) in out.iter_mut().zip(c) {
            out[at..at + LANES].copy_from_slice(&bytemuck::cast::<__m256i, [u32; LANES]>(_mm512_cvtepi64_epi32(c)));
        }
    }
}

/// The words of eight blocks anywhere, four a register.
#[target_feature(enable = "avx2")]
#[inline]
fn drawn_avx2(seed: u64, subsequence: u64, numbers: [__m256i; 2]) -> [[__m256i; 4]; 2] {
    let lanes = |word: u32| _mm256_set1_epi64x(i64::from(word));
    let after = [lanes(subsequence as u32), lanes((subsequence >> 32) as u32)];
    let mut c = numbers.map(|blocks| [blocks, _mm256_srli_epi64::<32>(blocks), after[0], after[1]]);
    rounds_avx2(seed, 0, &mut c);
    c
}

#[target_feature(enable = "avx2")]
fn words_of_avx2(seed: u64, subsequence: u64, numbers: &[u64; BATCH], out: &mut [u32; WORDS]) {
    let numbers: [[__m256i; 2]; BATCH / 8] = bytemuck::cast(*numbers);
    for (out, numbers) in out.chunks_exact_mut(WORDS / numbers.len()).zip(numbers) {
        let dealt = numbers.map(|numbers| _mm256_permute4x64_epi64::<0b11_01_10_00>(numbers));
        for (out, c) in out.chunks_exact_mut(16).zip(drawn_avx2(seed, subsequence, dealt)) {
            join_avx2(c, out);
        }
    }
}

#[target_feature(enable = "avx2,f16c")]
fn blocks_avx2(seed: u64, subsequence: u64, numbers: &[u64; BATCH], out: &mut Blocks) {
    const LANES: usize = 8;
    let numbers: [[__m256i; 2]; BATCH / LANES] = bytemuck::cast(*numbers);
    for (at, numbers) in (0..BATCH).step_by(LANES).zip(numbers) {
        let c = drawn_avx2(seed, subsequence, numbers);
        let [low, high] = c.map(|c| c.map(|word| _mm256_castsi256_ps(word)));
        for ((out, low), high) in out.iter_mut().zip(low).zip(high) {
            // The even 32-bit lanes of both, half by half; then the halves in order.
            let even = _mm256_castps_si256(_mm256_shuffle_ps::<0b10_00_10_00>(low, high));
            let words = _mm256_permute4x64_epi64::<0b11_01_10_00>(even);
            out[at..at + LANES].copy_from_slice(&bytemuck::cast::<__m256i, [u32; LANES]>(words));
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
#[inline]
fn at_most_u32_avx512(these: &[u32; 32], limit: u32) -> u32 {
    let [low, high]: [__m512i; 2] = bytemuck::cast(*these);
    let limit = _mm512_set1_epi32(limit as i32);
    u32::from(_mm512_cmple_epu32_mask(low, limit)) | u32::from(_mm512_cmple_epu32_mask(high, limit)) << 16
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
#[inline]
fn at_most_u16_avx512(these: &[u16; 32], limit: u16) -> u32 {
    _mm512_cmple_epu16_mask(bytemuck::cast(*these), _mm512_set1_epi16(limit as i16))
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
#[inline]
fn at_most_u8_avx512(these: &[u8; 32], limit: u8) -> u32 {
    _mm256_cmple_epu8_mask(bytemuck::cast(*these), _mm256_set1_epi8(limit as i8))
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
#[inline]
fn not_0_avx512(these: &[u8; 32]) -> u32 {
    let these = bytemuck::cast(*these);
    _mm256_test_epi8_mask(these, these)
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
#[inline]
fn bytes_avx512(kept: u32) -> [u8; 32] {
    bytemuck::cast(_mm256_maskz_set1_epi8(kept, 1))
}

// Products. One operand at most is a NaN, and the instruction makes it quiet and keeps its other bits, as the contract
// wants it; no scale but 0 makes one of an infinity. That holds for the instruction, not for a product in the language, so
// that the multiplications of AVX-512 are those with a rounding of their own, which compilers do not take for one.

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
#[inline]
fn product_avx512(kept: u16, x: __m512, scale: f32) -> __m512 {
    _mm512_maskz_mul_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(kept, x, _mm512_set1_ps(scale))
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
#[inline]
fn dropped_f32_avx512(x: [f32; 32], kept: u32, scale: f32) -> [f32; 32] {
    let [low, high]: [__m512; 2] = bytemuck::cast(x);
    bytemuck::cast([
        product_avx512(kept as u16, low, scale),
        product_avx512((kept >> 16) as u16, high, scale),
    ])
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
#[inline]
fn dropped_f16_avx512(x: [f16; 32], kept: u32, scale: f32) -> [f16; 32] {
    let [low, high]: [__m256i; 2] = bytemuck::cast(x);
    bytemuck::cast([
        half_f16(low, kept as u16, scale),
        half_f16(high, (kept >> 16) as u16, scale),
    ])
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
#[inline]
fn half_f16(x: __m256i, kept: u16, scale: f32) -> __m256i {
    _mm512_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(product_avx512(kept, _mm512_cvtph_ps(x), scale))
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
#[inline]
fn dropped_bf16_avx512(x: [bf16; 32], kept: u32, scale: f32) -> [bf16; 32] {
    let x: __m512i = bytemuck::cast(x);
    let zero = _mm512_setzero_si512();
    // Interleaved with zeros within each part of the register, and back.
    let low = rounded_bf16_half(_mm512_unpacklo_epi16(zero, x), scale);
    let high = rounded_bf16_half(_mm512_unpackhi_epi16(zero, x), scale);
    bytemuck::cast(_mm512_maskz_permutex2var_epi16(kept, low, upper_halves(), high))
}

/// Rounded to nearest even in the upper half of each lane: half of what is cut off is added, less one unless the last
/// bit kept is odd. No NaN's upper half changes.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
#[inline]
fn rounded_bf16_half(wide: __m512i, scale: f32) -> __m512i {
    let product = _mm512_castps_si512(product_avx512(u16::MAX, _mm512_castsi512_ps(wide), scale));
    let odd = _mm512_test_epi32_mask(product, _mm512_set1_epi32(0x1_0000));
    let half = _mm512_mask_blend_epi32(odd, _mm512_set1_epi32(0x7fff), _mm512_set1_epi32(0x8000));
    _mm512_add_epi32(product, half)
}

/// Where the upper half of each 32-bit lane of two registers goes, to undo an interleaving.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
#[inline]
fn upper_halves() -> __m512i {
    const PLACES: [u16; 32] = {
        let mut places = [0; 32];
        let mut i = 0;
        while i < 32 {
            // Element i is one of eight in its part of 128 bits; the first four are in the first register.
            let (part, at) = (i / 8, i % 8);
            places[i as usize] = 32 * (at / 4) + 8 * part + 2 * (at % 4) + 1;
            i += 1;
        }
        places
    };
    bytemuck::cast(PLACES)
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
#[inline]
fn widened_f16_avx512(x: [f16; 32]) -> [f32; 32] {
    let halves: [__m256i; 2] = bytemuck::cast(x);
    bytemuck::cast(halves.map(|x| _mm512_cvtph_ps(x)))
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
#[inline]
fn narrowed_f16_avx512(wide: [f32; 32]) -> [f16; 32] {
    let halves: [__m512; 2] = bytemuck::cast(wide);
    let narrow = halves.map(|wide| _mm512_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(wide));
    let narrow: __m512i = bytemuck::cast(narrow);
    let magnitude = _mm512_and_si512(narrow, _mm512_set1_epi16(0x7fff));
    let is_nan = _mm512_cmpgt_epi16_mask(magnitude, _mm512_set1_epi16(0x7c00));
    bytemuck::cast(_mm512_mask_blend_epi16(is_nan, narrow, _mm512_set1_epi16(0x7e00)))
}

#[target_feature(enable = "avx2,f16c")]
#[inline]
fn widened_f16_avx2(x: [f16; 32]) -> [f32; 32] {
    let quarters: [__m128i; 4] = bytemuck::cast(x);
    bytemuck::cast(quarters.map(|x| _mm256_cvtph_ps(x)))
}

#[target_feature(enable = "avx2,f16c")]
#[inline]
fn narrowed_f16_avx2(wide: [f32; 32]) -> [f16; 32] {
    let quarters: [__m256; 4] = bytemuck::cast(wide);
    let narrow = quarters.map(|wide| _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(wide));
    let narrow: [__m256i; 2] = bytemuck::cast(narrow);
    bytemuck::cast(narrow.map(|narrow| {
        let magnitude = _mm256_and_si256(narrow, _mm256_set1_epi16(0x7fff));
        let is_nan = _mm256_cmpgt_epi16(magnitude, _mm256_set1_epi16(0x7c00));
        _mm256_blendv_epi8(narrow, _mm256_set1_epi16(0x7e00), is_nan)
    }))
}

type Lanes = [[i16; 16]; 2];

#[target_feature(enable = "avx2")]
#[inline]
fn at_most_u32_avx2(these: &[u32; 32], limit: u32) -> Lanes {
    let limit = _mm256_set1_epi32(limit as i32);
    let these: [__m256i; 4] = bytemuck::cast(*these);
    let [a, b, c, d] = these.map(|it| _mm256_cmpeq_epi32(_mm256_min_epu32(it, limit), it));
    // The pack takes the halves of both in turns.
    let in_turns = [_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d)];
    bytemuck::cast(in_turns.map(|it| _mm256_permute4x64_epi64::<0b11_01_10_00>(it)))
}

#[target_feature(enable = "avx2")]
#[inline]
fn at_most_u16_avx2(these: &[u16; 32], limit: u16) -> Lanes {
    let limit = _mm256_set1_epi16(limit as i16);
    let these: [__m256i; 2] = bytemuck::cast(*these);
    bytemuck::cast(these.map(|it| _mm256_cmpeq_epi16(_mm256_min_epu16(it, limit), it)))
}

#[target_feature(enable = "avx2")]
#[inline]
fn at_most_u8_avx2(these: &[u8; 32], limit: u8) -> Lanes {
    let these = bytemuck::cast(*these);
    widened_lanes(_mm256_cmpeq_epi8(
        _mm256_min_epu8(these, _mm256_set1_epi8(limit as i8)),
        these,
    ))
}

#[target_feature(enable = "avx2")]
#[inline]
fn not_0_avx2(these: &[u8; 32]) -> Lanes {
    let is_0 = _mm256_cmpeq_epi8(bytemuck::cast(*these), _mm256_setzero_si256());
    widened_lanes(_mm256_xor_si256(is_0, _mm256_set1_epi8(-1)))
}

#[target_feature(enable = "avx2")]
#[inline]
fn widened_lanes(bytes: __m256i) -> Lanes {
    let halves: [__m128i; 2] = bytemuck::cast(bytes);
    bytemuck::cast(halves.map(|half| _mm256_cvtepi8_epi16(half)))
}

#[target_feature(enable = "avx2")]
#[inline]
fn of_bits_avx2(bits: u32) -> Lanes {
    let bit = _mm256_set_epi16(
        -0x8000, 0x4000, 0x2000, 0x1000, 0x800, 0x400, 0x200, 0x100, 0x80, 0x40, 0x20, 0x10, 8, 4, 2, 1,
    );
    let halves = [bits as i16, (bits >> 16) as i16];
    bytemuck::cast(halves.map(|half| _mm256_cmpeq_epi16(_mm256_and_si256(_mm256_set1_epi16(half), bit), bit)))
}

#[target_feature(enable = "avx2")]
#[inline]
fn lanes_of_8(kept: Lanes) -> __m256i {
    let [low, high]: [__m256i; 2] = bytemuck::cast(kept);
    // The pack takes the halves of both in turns.
    _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packs_epi16(low, high))
}

#[target_feature(enable = "avx2")]
#[inline]
fn bits_avx2(kept: Lanes) -> u32 {
    _mm256_movemask_epi8(lanes_of_8(kept)) as u32
}

#[target_feature(enable = "avx2")]
#[inline]
fn bytes_avx2(kept: Lanes) -> [u8; 32] {
    bytemuck::cast(_mm256_and_si256(lanes_of_8(kept), _mm256_set1_epi8(1)))
}

// Products. Every NaN among the elements is made quiet on the bits: AVX2 has no product but the language's, whose NaNs are
// the compiler's to choose.

#[target_feature(enable = "avx2")]
#[inline]
fn dropped_f32_avx2(x: [f32; 32], kept: Lanes, scale: f32) -> [f32; 32] {
    let [a, b, c, d]: [__m256; 4] = bytemuck::cast(x);
    let [k, l, m, n]: [__m128i; 4] = bytemuck::cast(kept);
    bytemuck::cast([
        dropped_f32_quarter(a, k, scale),
        dropped_f32_quarter(b, l, scale),
        dropped_f32_quarter(c, m, scale),
        dropped_f32_quarter(d, n, scale),
    ])
}

#[target_feature(enable = "avx2")]
#[inline]
fn dropped_f32_quarter(x: __m256, kept: __m128i, scale: f32) -> __m256 {
    let product = _mm256_mul_ps(x, _mm256_set1_ps(scale));
    let quiet = _mm256_or_ps(x, _mm256_castsi256_ps(_mm256_set1_epi32(0x0040_0000)));
    let is_nan = _mm256_cmp_ps::<_CMP_UNORD_Q>(x, x);
    let scaled = _mm256_blendv_ps(product, quiet, is_nan);
    _mm256_and_ps(scaled, _mm256_castsi256_ps(_mm256_cvtepi16_epi32(kept)))
}

#[target_feature(enable = "avx2,f16c")]
#[inline]
fn dropped_f16_avx2(x: [f16; 32], kept: Lanes, scale: f32) -> [f16; 32] {
    let [a, b]: [__m256i; 2] = bytemuck::cast(x);
    let [k, l]: [__m256i; 2] = bytemuck::cast(kept);
    bytemuck::cast([dropped_f16_half(a, k, scale), dropped_f16_half(b, l, scale)])
}

#[target_feature(enable = "avx2,f16c")]
#[inline]
fn dropped_f16_half(x: __m256i, kept: __m256i, scale: f32) -> __m256i {
    let [low, high]: [__m128i; 2] = bytemuck::cast(x);
    let products = bytemuck::cast([scaled_f16_quarter(low, scale), scaled_f16_quarter(high, scale)]);
    _mm256_and_si256(with_quiet_nans(x, products, 0x7c00, 0x0200), kept)
}

#[target_feature(enable = "avx2,f16c")]
#[inline]
fn scaled_f16_quarter(x: __m128i, scale: f32) -> __m128i {
    let product = _mm256_mul_ps(_mm256_cvtph_ps(x), _mm256_set1_ps(scale));
    _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(product)
}

#[target_feature(enable = "avx2")]
#[inline]
fn dropped_bf16_avx2(x: [bf16; 32], kept: Lanes, scale: f32) -> [bf16; 32] {
    let [a, b]: [__m256i; 2] = bytemuck::cast(x);
    let [k, l]: [__m256i; 2] = bytemuck::cast(kept);
    bytemuck::cast([dropped_bf16_half(a, k, scale), dropped_bf16_half(b, l, scale)])
}

#[target_feature(enable = "avx2")]
#[inline]
fn dropped_bf16_half(x: __m256i, kept: __m256i, scale: f32) -> __m256i {
    let zero = _mm256_setzero_si256();
    let low = scaled_bf16_quarter(_mm256_unpacklo_epi16(zero, x), scale);
    let high = scaled_bf16_quarter(_mm256_unpackhi_epi16(zero, x), scale);
    let products = _mm256_packus_epi32(low, high);
    _mm256_and_si256(with_quiet_nans(x, products, 0x7f80, 0x0040), kept)
}

#[target_feature(enable = "avx2")]
#[inline]
fn scaled_bf16_quarter(wide: __m256i, scale: f32) -> __m256i {
    let product = _mm256_mul_ps(_mm256_castsi256_ps(wide), _mm256_set1_ps(scale));
    let product = _mm256_castps_si256(product);
    let odd = _mm256_and_si256(_mm256_srli_epi32::<16>(product), _mm256_set1_epi32(1));
    let rounded = _mm256_add_epi32(_mm256_add_epi32(product, _mm256_set1_epi32(0x7fff)), odd);
    _mm256_srli_epi32::<16>(rounded)
}

#[target_feature(enable = "avx2")]
#[inline]
fn with_quiet_nans(x: __m256i, products: __m256i, infinity: i16, quiet: i16) -> __m256i {
    let magnitude = _mm256_and_si256(x, _mm256_set1_epi16(0x7fff));
    let is_nan = _mm256_cmpgt_epi16(magnitude, _mm256_set1_epi16(infinity));
    _mm256_blendv_epi8(products, _mm256_or_si256(x, _mm256_set1_epi16(quiet)), is_nan)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::decide::{Decision, KeepByte};
    use crate::cpu::job::streams;
    use crate::cpu::scale::Scale as _;
    use crate::philox::block;
    use crate::{Draw, IndexMap, RandomBits};

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
        if let Some(avx512) = Avx512::detect() {
            check(avx512);
        }
        if let Some(avx2) = Avx2::detect() {
            check(avx2);
        }
    }

    const SCALES: [f32; 9] = [
        1.0,
        1.0f32 / 0.9,
        2.0,
        65_536.0,
        4_294_967_296.0,
        0.9,
        0.5,
        1e-3,
        1.0 / 4_294_967_296.0,
    ];

    fn check_products<I: Instructions>(instructions: I) {
        for scale in SCALES {
            for first in (0..=u16::MAX).step_by(32) {
                let x: [f16; 32] = core::array::from_fn(|i| f16::from_bits(first + i as u16));
                let expected = x.map(|x| x.scaled(scale).to_bits());
                let actual = instructions.dropped_f16(x, instructions.all(), scale).map(f16::to_bits);
                assert_eq!(actual, expected, "f16 from {first:#x} by {scale}");
                let x = x.map(|x| bf16::from_bits(x.to_bits()));
                let expected = x.map(|x| x.scaled(scale).to_bits());
                let actual = instructions
                    .dropped_bf16(x, instructions.all(), scale)
                    .map(bf16::to_bits);
                assert_eq!(actual, expected, "bf16 from {first:#x} by {scale}");
            }
        }
    }

    /// Each width of random bits, and bytes of a mask.
    fn check_decisions<I: Instructions>(instructions: I) {
        let word = |i: u32| i.wrapping_mul(2_654_435_761).rotate_left(i % 32);
        for n in 0..1000 {
            let words: [u32; 32] = core::array::from_fn(|i| word(32 * n + i as u32));
            // Infinities, zeros, subnormals and NaNs of either kind and sign among them.
            let x: [f32; 32] = core::array::from_fn(|i| {
                f32::from_bits(match (n as usize + i) % 4 {
                    0 => words[31 - i] | 0x7f80_0000,
                    1 => words[31 - i] & 0x807f_ffff,
                    2 => words[31 - i] & 0xff80_0000,
                    _ => words[31 - i],
                })
            });
            let scale = SCALES[n as usize % SCALES.len()];
            // At, above and below what some of them are; the lowest and the highest.
            for limit in [
                words[5],
                words[31].wrapping_sub(1),
                words[16].wrapping_add(1),
                0,
                u32::MAX,
            ] {
                check_dropped(instructions, x, &words, limit, scale);
                check_dropped(instructions, x, &words.map(|word| word as u16), limit, scale);
                check_dropped(instructions, x, &words.map(|word| word as u8), limit, scale);
            }
            let bytes = words.map(|word| (word & word >> 8 & word >> 16) as u8);
            check_dropped::<_, KeepByte>(instructions, x, bytemuck::cast_ref(&bytes), 0, scale);
        }
    }

    /// Each element type, beside the definition.
    fn check_dropped<I: Instructions, L: Decision>(
        instructions: I,
        x: [f32; 32],
        these: &[L; 32],
        limit: u32,
        scale: f32,
    ) {
        let kept = L::kept_32(these, limit, instructions);
        let is_kept: [bool; 32] = these.map(|it| it.is_kept(limit));
        let bits = Portable.bits(is_kept);
        assert_eq!(instructions.bits(kept), bits, "{is_kept:?}");
        assert_eq!(instructions.bytes(instructions.of_bits(bits)), is_kept.map(u8::from));
        let bits = core::array::from_fn(|i| if is_kept[i] { x[i].scaled(scale).to_bits() } else { 0 });
        let actual = instructions.dropped_f32(x, kept, scale).map(f32::to_bits);
        assert_eq!(actual, bits, "{is_kept:?} of {x:?} by {scale}");
        let x = x.map(|x| f16::from_bits((x.to_bits() >> 16) as u16));
        let bits = core::array::from_fn(|i| if is_kept[i] { x[i].scaled(scale).to_bits() } else { 0 });
        let actual = instructions.dropped_f16(x, kept, scale).map(f16::to_bits);
        assert_eq!(actual, bits, "{is_kept:?} of {x:?} by {scale}");
        let x = x.map(|x| bf16::from_bits(x.to_bits()));
        let bits = core::array::from_fn(|i| if is_kept[i] { x[i].scaled(scale).to_bits() } else { 0 });
        let actual = instructions.dropped_bf16(x, kept, scale).map(bf16::to_bits);
        assert_eq!(actual, bits, "{is_kept:?} of {x:?} by {scale}");
    }

    #[test]
    fn decisions_and_their_products_equal_the_portable_ones() {
        check_decisions(Portable);
        if let Some(avx512) = Avx512::detect() {
            check_decisions(avx512);
        }
        if let Some(avx2) = Avx2::detect() {
            check_decisions(avx2);
        }
    }

    fn check_conversions(instructions: impl Instructions) {
        for first in (0..=u16::MAX).step_by(32) {
            let x: [f16; 32] = core::array::from_fn(|i| f16::from_bits(first + i as u16));
            let wide = instructions.widened_f16(x);
            let expected = Portable.widened_f16(x);
            for (x, (wide, expected)) in x.iter().zip(wide.iter().zip(expected)) {
                let same = wide.to_bits() == expected.to_bits() || (wide.is_nan() && expected.is_nan());
                assert!(same, "{x:?} is {wide:?}, expected {expected:?}");
            }
            // Around each f16, and halfway to the next one; tiny, huge and no numbers too.
            for step in [0, 0x0fff, 0x1000, 0x1001, 0x1fff] {
                let wide = expected.map(|wide| f32::from_bits(wide.to_bits() ^ step));
                let [actual, expected] = [instructions.narrowed_f16(wide), Portable.narrowed_f16(wide)];
                assert_eq!(actual.map(f16::to_bits), expected.map(f16::to_bits), "{wide:?}");
            }
            let wide = core::array::from_fn(|i| f32::from_bits((u32::from(first) << 16) | (0x1234 * i as u32)));
            let [actual, expected] = [instructions.narrowed_f16(wide), Portable.narrowed_f16(wide)];
            assert_eq!(actual.map(f16::to_bits), expected.map(f16::to_bits), "{wide:?}");
        }
    }

    #[test]
    fn f16_conversions_equal_the_portable_ones() {
        if let Some(avx512) = Avx512::detect() {
            check_conversions(avx512);
        }
        if let Some(avx2) = Avx2::detect() {
            check_conversions(avx2);
        }
    }

    #[test]
    fn every_16_bit_product_equals_the_portable_one() {
        if let Some(avx512) = Avx512::detect() {
            check_products(avx512);
        }
        if let Some(avx2) = Avx2::detect() {
            check_products(avx2);
        }
    }

    /// A fused forward of f16, the type with conversions of its own, in rows that 32 don't divide.
    #[test]
    fn fused_jobs_equal_the_portable_ones() {
        use crate::cpu::fused::Fused;
        use crate::cpu::job::{Data, training};
        let bits: Vec<f16> = (0..3 * 5005u32)
            .map(|i| f16::from_bits((i.wrapping_mul(2_654_435_761) >> 11) as u16))
            .collect();
        let dropout = crate::Dropout::new(0.3, 5).expect("a probability");
        let run = |run_job: &dyn Fn(Job<'_, f16>)| {
            let mut y = vec![f16::ZERO; 5005];
            let neighbours = crate::Neighbours {
                bias: Some(&bits[10_010..10_010 + 77]),
                residual: Some(&bits[5005..10_010]),
            };
            let fused = Fused::new(&bits[..5005], neighbours);
            run_job(training(&dropout, 5005, Data::Fused(fused, &mut y)));
            y.into_iter().map(f16::to_bits).collect::<Vec<_>>()
        };
        let expected = run(&|job| job.run_with(Portable));
        if let Some(avx512) = Avx512::detect() {
            // SAFETY: detected.
            assert_eq!(run(&|job| unsafe { run_avx512(job, avx512) }), expected, "avx512");
        }
        if let Some(avx2) = Avx2::detect() {
            // SAFETY: detected.
            assert_eq!(run(&|job| unsafe { run_avx2(job, avx2) }), expected, "avx2");
        }
    }

    /// Every instruction set that the processor has, not only the one that is chosen, through whole jobs.
    #[test]
    #[allow(clippy::print_stdout, reason = "says what there was to compare")]
    fn jobs_equal_the_portable_ones() {
        use crate::MaskFormat;
        use crate::cpu::job::{Data, Sink, training};
        type RunJob = fn(Job<'_, f32>);
        let mut sets: Vec<(&str, RunJob)> = Vec::new();
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
        for random_bits in RandomBits::ALL {
            let stores = [None, Some(MaskFormat::Bits), Some(MaskFormat::Bytes)];
            // Past the caches, outputs lie anywhere in their lines; what is beside them stays as it is. Not under Miri:
            // such stores are assembly.
            let shifts = if cfg!(miri) { 0..0 } else { 1..20 };
            let streamed = shifts.map(|shift| (None, true, shift));
            // Rows, rows that share a decision, columns whose blocks start alike and not, and elements each for itself.
            let strides: [(&[u64], &[u64]); 6] = [
                (&[50, 100], &[400, 1]),
                (&[50, 100], &[1, 0]),
                (&[4, 1250], &[1, 0]),
                (&[50, 100], &[1, 64]),
                (&[50, 100], &[1, 51]),
                (&[1000, 5], &[7, 3]),
            ];
            let maps = strides.map(|(shape, strides)| Some(IndexMap::new(shape, strides).expect("a map")));
            let plain = stores.map(|store| (store, false, 0)).into_iter().chain(streamed);
            let mapped = maps
                .iter()
                .flat_map(|map| stores.map(|store| (store, false, 0, map.as_ref())));
            let cases = plain
                .map(|(store, streams, shift)| (store, streams, shift, None))
                .chain(mapped);
            for (store, streams, shift, map) in cases {
                let probability = crate::Probability::new(0.3, random_bits).expect("a probability");
                let dropout = crate::Dropout::new(0.3, 5)
                    .expect("a probability")
                    .with_probability(probability);
                let dropout = dropout.with_element_offset((1 << 34) - 999);
                let draw = Draw {
                    map,
                    ..Draw::from(&dropout)
                };
                let run = |run_job: RunJob| {
                    let (mut y, mut bits, mut bytes) = (vec![7.0f32; 5040], vec![0u32; 157], vec![0u8; 5000]);
                    let sink = match store {
                        None => Sink::None,
                        Some(MaskFormat::Bits) => Sink::Bits(&mut bits),
                        Some(MaskFormat::Bytes) => Sink::Bytes(&mut bytes),
                    };
                    let job = Job {
                        sink,
                        streams,
                        ..training(draw, 5000, Data::Apart(&x, &mut y[shift..][..5000]))
                    };
                    run_job(job);
                    (y.iter().map(|y| y.to_bits()).collect::<Vec<_>>(), bits, bytes)
                };
                let expected = run(|job| job.run_with(Portable));
                for (name, run_job) in &sets {
                    assert_eq!(
                        run(*run_job),
                        expected,
                        "{name}, {random_bits:?}, {store:?}, {streams}, {shift}, {map:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn blocks_anywhere_are_those_of_the_definition() {
        let mut number = 0xffff_fff0u64;
        for _ in 0..50 {
            let numbers = core::array::from_fn(|_| {
                number = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31) ^ 5;
                number
            });
            let (seed, subsequence) = (number, number.rotate_left(13));
            let expected = numbers.map(|number| block(seed, subsequence, number));
            let check = |name: &str, words: [u32; WORDS], blocks: Blocks| {
                assert_eq!(words, bytemuck::cast::<_, [u32; WORDS]>(expected), "{name}");
                for (w, words) in blocks.into_iter().enumerate() {
                    assert_eq!(words, expected.map(|block| block[w]), "{name}, word {w}");
                }
            };
            let (mut words, mut blocks) = ([0; WORDS], [[0; BATCH]; 4]);
            if let Some(avx512) = Avx512::detect() {
                avx512.words_of(seed, subsequence, &numbers, &mut words);
                avx512.blocks(seed, subsequence, &numbers, &mut blocks);
                check("avx512", words, blocks);
            }
            if let Some(avx2) = Avx2::detect() {
                avx2.words_of(seed, subsequence, &numbers, &mut words);
                avx2.blocks(seed, subsequence, &numbers, &mut blocks);
                check("avx2", words, blocks);
            }
            Portable.words_of(seed, subsequence, &numbers, &mut words);
            Portable.blocks(seed, subsequence, &numbers, &mut blocks);
            check("portable", words, blocks);
        }
    }

    /// Whole lines, parts of them at either end, and what is too short for any.
    #[test]
    fn streamed_bytes_are_the_same_bytes() {
        let from: Vec<u8> = (0..=250).collect();
        for start in 0..70 {
            for len in (0..=20).chain([47, 63, 64, 65, 100, 128, 180]) {
                let mut expected = [0xcau8; 300];
                expected[start..start + len].copy_from_slice(&from[..len]);
                if let Some(avx512) = Avx512::detect() {
                    let mut to = [0xcau8; 300];
                    avx512.stream(&from[..len], &mut to[start..start + len]);
                    avx512.streamed();
                    assert_eq!(to, expected, "AVX-512, {len} bytes from {start}");
                }
                if let Some(avx2) = Avx2::detect() {
                    let mut to = [0xcau8; 300];
                    avx2.stream(&from[..len], &mut to[start..start + len]);
                    avx2.streamed();
                    assert_eq!(to, expected, "AVX2, {len} bytes from {start}");
                }
            }
        }
    }

    #[test]
    fn long_results_of_cheap_draws_go_past_the_caches() {
        let cache = third_level_cache();
        assert!(cache >= 1 << 20);
        if cache == usize::MAX {
            return;
        }
        for (random_bits, of_f32) in [
            (RandomBits::B32, false),
            (RandomBits::B16, has_avx512()),
            (RandomBits::B8, true),
        ] {
            assert_eq!(streams::<f32>(cache / 2, random_bits, None), of_f32);
            assert!(streams::<bf16>(cache, random_bits, None));
            assert!(!streams::<bf16>(cache - 1, random_bits, None));
            assert!(!streams::<f32>(cache / 2 - 1, random_bits, None));
            let [shared, rows] =
                [0, 1].map(|stride| IndexMap::new(&[cache as u64, 4096], &[1 << 20, stride]).expect("a map"));
            assert!(streams::<f32>(cache / 2, random_bits, Some(&shared)));
            assert_eq!(streams::<f32>(cache / 2, random_bits, Some(&rows)), of_f32);
        }
    }
}

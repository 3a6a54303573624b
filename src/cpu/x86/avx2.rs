//! With AVX2: four blocks a register, masks of lanes.

use core::arch::x86_64::{
    __m128i, __m256, __m256i, _CMP_UNORD_Q, _MM_FROUND_TO_NEAREST_INT, _mm256_add_epi32, _mm256_add_epi64,
    _mm256_add_ps, _mm256_and_ps, _mm256_and_si256, _mm256_blendv_epi8, _mm256_blendv_ps, _mm256_castps_si256,
    _mm256_castsi256_ps, _mm256_cmp_ps, _mm256_cmpeq_epi8, _mm256_cmpeq_epi16, _mm256_cmpeq_epi32, _mm256_cmpgt_epi16,
    _mm256_cvtepi8_epi16, _mm256_cvtepi16_epi32, _mm256_cvtepu16_epi32, _mm256_cvtph_ps, _mm256_cvtps_ph,
    _mm256_min_epu8, _mm256_min_epu16, _mm256_min_epu32, _mm256_movemask_epi8, _mm256_mul_epu32, _mm256_mul_ps,
    _mm256_or_ps, _mm256_or_si256, _mm256_packs_epi16, _mm256_packs_epi32, _mm256_packus_epi32,
    _mm256_permute4x64_epi64, _mm256_set_epi16, _mm256_set_epi64x, _mm256_set1_epi8, _mm256_set1_epi16,
    _mm256_set1_epi32, _mm256_set1_epi64x, _mm256_set1_ps, _mm256_setzero_si256, _mm256_shuffle_epi32,
    _mm256_shuffle_ps, _mm256_slli_epi32, _mm256_srli_epi32, _mm256_srli_epi64, _mm256_stream_si256,
    _mm256_unpackhi_epi16, _mm256_unpackhi_epi64, _mm256_unpacklo_epi16, _mm256_unpacklo_epi64, _mm256_xor_si256,
};
use core::ops::Range;

use half::{bf16, f16};

use super::{Neighbours, Walk, bytes_ahead, fence, neighbours_from, prefetch, prefetch_32};
use crate::cpu::words::{BATCH, BATCH_WORDS, Blocks, Compute, Instructions, Sequence, TakeWords, WORDS, Words};
use crate::philox::{MULTIPLIERS, ROUNDS};

/// Proof that the processor has AVX2 and F16C: there is no other way to one than `detect`.
#[derive(Clone, Copy)]
pub(super) struct Avx2(());

impl Avx2 {
    pub(super) fn detect() -> Option<Self> {
        (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("f16c")).then_some(Self(()))
    }
}

impl Instructions for Avx2 {
    #[inline(always)]
    fn apart(self, this: impl Compute) {
        #[target_feature(enable = "avx2,f16c")]
        #[inline(never)]
        fn apart(this: impl Compute, instructions: Avx2) {
            this.compute(instructions);
        }
        // SAFETY: self proves that the processor has each feature that the function is compiled for.
        unsafe { apart(this, self) }
    }

    type Walk = Walk;

    #[inline(always)]
    fn walk(self, sequence: &Sequence, numbers: &[u64; BATCH], blocks: usize, walk: &mut Walk) {
        walk.begin(sequence, numbers, blocks);
    }

    /// A lane of 16 bits for each, 0 or -1.
    type Kept = Lanes;

    #[inline(always)]
    fn fetch<const WRITE: bool, T>(self, elements: &[T], at: usize, len: usize) {
        prefetch::<WRITE, T>(elements, at, len);
    }

    #[inline(always)]
    fn fetch_32<T>(self, elements: &[T], at: usize) {
        prefetch_32(elements, at);
    }

    #[inline(always)]
    fn bytes_ahead(self) -> usize {
        bytes_ahead()
    }

    const STREAMS: bool = true;

    #[inline(always)]
    fn streamed(self) {
        fence();
    }

    forward! {
        words(sequence: &Sequence, first: u64, pieces: usize, take: &mut impl TakeWords) -> usize;
        words_of(sequence: &Sequence, numbers: &[u64; BATCH], out: &mut [u32; BATCH_WORDS]);
        step(sequence: &Sequence, walk: &mut Walk, out: &mut Blocks);
        at_most_u32(these: &[u32; 32], limit: u32) -> Self::Kept;
        at_most_u16(these: &[u16; 32], limit: u16) -> Self::Kept;
        at_most_u8(these: &[u8; 32], limit: u8) -> Self::Kept;
        not_0(these: &[u8; 32]) -> Self::Kept;
        of_bits(bits: u32) -> Lanes;
        bits(kept: Lanes) -> u32;
        bytes(kept: Lanes) -> [u8; 32];
        stream_lines(from: &[u8], to: &mut [u8]);
        dropped_f32(x: [f32; 32], kept: Self::Kept, scale: f32) -> [f32; 32];
        dropped_f16(x: [f16; 32], kept: Self::Kept, scale: f32) -> [f16; 32];
        dropped_bf16(x: [bf16; 32], kept: Self::Kept, scale: f32) -> [bf16; 32];
        sums(these: [f32; 32], those: [f32; 32]) -> [f32; 32];
        widened_f16(x: [f16; 32]) -> [f32; 32];
        widened_bf16(x: [bf16; 32]) -> [f32; 32];
        narrowed_f32(wide: [f32; 32]) -> [f32; 32];
        narrowed_f16(wide: [f32; 32]) -> [f16; 32];
        narrowed_bf16(wide: [f32; 32]) -> [bf16; 32];
    }
}

#[target_feature(enable = "avx2")]
fn words(sequence: &Sequence, first: u64, pieces: usize, take: &mut impl TakeWords) -> usize {
    const BLOCKS: usize = 4;
    // There are 16 registers, half as many as with AVX-512.
    const SIDE_BY_SIDE: usize = 2;
    let lanes = |word: u32| _mm256_set1_epi64x(i64::from(word));
    let order = _mm256_set_epi64x(3, 1, 2, 0);
    let m = MULTIPLIERS.map(lanes);
    // So many blocks ahead the first product of neighbours differs by so many times the multiplier.
    let ahead = |blocks: usize| _mm256_set1_epi64x((u64::from(MULTIPLIERS[0]) * blocks as u64) as i64);
    let neighbours = Neighbours::of(sequence, first);
    let alike = pieces.min((neighbours_from(first) / (WORDS / 4) as u64) as usize);
    let mut first_product = _mm256_mul_epu32(m[0], _mm256_add_epi64(_mm256_set1_epi64x(first as i64), order));
    for _ in 0..alike {
        let mut words = Words([0; WORDS]);
        for out in words.0.chunks_exact_mut(4 * BLOCKS * SIDE_BY_SIDE) {
            let mut c: [[__m256i; 4]; SIDE_BY_SIDE] =
                core::array::from_fn(|j| second_round(&neighbours, _mm256_add_epi64(first_product, ahead(j * BLOCKS))));
            rounds(sequence, 2..ROUNDS - 1, &mut c);
            last_round(sequence, c, out);
            first_product = _mm256_add_epi64(first_product, ahead(SIDE_BY_SIDE * BLOCKS));
        }
        take.take(&words.0);
    }
    alike
}

#[target_feature(enable = "avx2")]
#[inline]
fn rounds<const N: usize>(sequence: &Sequence, these: Range<usize>, c: &mut [[__m256i; 4]; N]) {
    let lanes = |word: u32| _mm256_set1_epi64x(i64::from(word));
    let [m0, m1] = MULTIPLIERS.map(lanes);
    for keys in &sequence.keys[these] {
        let [k0, k1] = keys.map(|key| _mm256_set1_epi64x(key as i64));
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

/// What neighbours with this first product come to after two rounds: two multiplications of which are their own.
#[target_feature(enable = "avx2")]
#[inline]
fn second_round(neighbours: &Neighbours, first_product: __m256i) -> [__m256i; 4] {
    let lanes = |word: u32| _mm256_set1_epi64x(i64::from(word));
    let second = _mm256_xor_si256(_mm256_srli_epi64::<32>(first_product), lanes(neighbours.first));
    let product = _mm256_mul_epu32(lanes(MULTIPLIERS[1]), second);
    [
        _mm256_xor_si256(_mm256_srli_epi64::<32>(product), lanes(neighbours.second[0])),
        product,
        _mm256_xor_si256(first_product, lanes(neighbours.second[1])),
        lanes(neighbours.product),
    ]
}

/// The last round, in which a product with its halves exchanged is two words but for an exclusive or into the lower, and the
/// words of blocks that were dealt to the lanes as 0, 2, 1, 3, block by block.
#[target_feature(enable = "avx2")]
#[inline]
fn last_round<const N: usize>(sequence: &Sequence, c: [[__m256i; 4]; N], out: &mut [u32]) {
    let lanes = |word: u32| _mm256_set1_epi64x(i64::from(word));
    let [m0, m1] = MULTIPLIERS.map(lanes);
    let [k0, k1] = sequence.keys[ROUNDS - 1].map(|key| _mm256_set1_epi64x(key as i64));
    let lower = _mm256_set1_epi64x(0xffff_ffff);
    for (out, c) in out.chunks_exact_mut(16).zip(c) {
        let a = _mm256_shuffle_epi32::<0b10_11_00_01>(_mm256_mul_epu32(m0, c[0]));
        let b = _mm256_shuffle_epi32::<0b10_11_00_01>(_mm256_mul_epu32(m1, c[2]));
        let low = _mm256_xor_si256(b, _mm256_and_si256(_mm256_xor_si256(c[1], k0), lower));
        let high = _mm256_xor_si256(a, _mm256_and_si256(_mm256_xor_si256(c[3], k1), lower));
        let (front, back) = out.split_at_mut(8);
        front.copy_from_slice(&bytemuck::cast::<__m256i, [u32; 8]>(_mm256_unpacklo_epi64(low, high)));
        back.copy_from_slice(&bytemuck::cast::<__m256i, [u32; 8]>(_mm256_unpackhi_epi64(low, high)));
    }
}

/// Eight blocks anywhere, four a register, as they go into the first round.
#[target_feature(enable = "avx2")]
#[inline]
fn counters(subsequence: u64, numbers: [__m256i; 2]) -> [[__m256i; 4]; 2] {
    let lanes = |word: u32| _mm256_set1_epi64x(i64::from(word));
    let after = [lanes(subsequence as u32), lanes((subsequence >> 32) as u32)];
    numbers.map(|blocks| [blocks, _mm256_srli_epi64::<32>(blocks), after[0], after[1]])
}

#[target_feature(enable = "avx2")]
fn words_of(sequence: &Sequence, numbers: &[u64; BATCH], out: &mut [u32; BATCH_WORDS]) {
    let numbers: [[__m256i; 2]; BATCH / 8] = bytemuck::cast(*numbers);
    for (out, numbers) in out.chunks_exact_mut(BATCH_WORDS / numbers.len()).zip(numbers) {
        let dealt = numbers.map(|numbers| _mm256_permute4x64_epi64::<0b11_01_10_00>(numbers));
        let mut c = counters(sequence.subsequence, dealt);
        rounds(sequence, 0..ROUNDS - 1, &mut c);
        last_round(sequence, c, out);
    }
}

#[target_feature(enable = "avx2")]
fn step(sequence: &Sequence, walk: &mut Walk, out: &mut Blocks) {
    let distance = _mm256_set1_epi64x(walk.distance() as i64);
    let (next, _) = walk.next.as_chunks_mut::<8>();
    for (at, next) in (0..BATCH).step_by(8).zip(next) {
        let [low, high]: [__m256i; 2] = bytemuck::cast(*next);
        *next = bytemuck::cast([_mm256_add_epi64(low, distance), _mm256_add_epi64(high, distance)]);
        let mut c;
        if let Some(neighbours) = &walk.neighbours {
            c = [second_round(neighbours, low), second_round(neighbours, high)];
            rounds(sequence, 2..ROUNDS, &mut c);
        } else {
            c = counters(sequence.subsequence, [low, high]);
            rounds(sequence, 0..ROUNDS, &mut c);
        }
        put(c, at, out);
    }
}

/// The words of eight blocks, which are the lower halves of lanes.
#[target_feature(enable = "avx2")]
#[inline]
fn put(c: [[__m256i; 4]; 2], at: usize, out: &mut Blocks) {
    let [low, high] = c;
    // A loop, for compilers make a function of a map of so many, and not for these instructions.
    for ((out, low), high) in out.0.iter_mut().zip(low).zip(high) {
        let (low, high) = (_mm256_castsi256_ps(low), _mm256_castsi256_ps(high));
        // The even 32-bit lanes of both, half by half; then the halves in order.
        let even = _mm256_castps_si256(_mm256_shuffle_ps::<0b10_00_10_00>(low, high));
        let words = _mm256_permute4x64_epi64::<0b11_01_10_00>(even);
        out[at..at + 8].copy_from_slice(&bytemuck::cast::<__m256i, [u32; 8]>(words));
    }
}

#[target_feature(enable = "avx2,f16c")]
#[inline]
fn widened_f16(x: [f16; 32]) -> [f32; 32] {
    let quarters: [__m128i; 4] = bytemuck::cast(x);
    bytemuck::cast(quarters.map(|x| _mm256_cvtph_ps(x)))
}

#[target_feature(enable = "avx2,f16c")]
#[inline]
fn narrowed_f16(wide: [f32; 32]) -> [f16; 32] {
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
fn at_most_u32(these: &[u32; 32], limit: u32) -> Lanes {
    let limit = _mm256_set1_epi32(limit as i32);
    let these: [__m256i; 4] = bytemuck::cast(*these);
    let [a, b, c, d] = these.map(|it| _mm256_cmpeq_epi32(_mm256_min_epu32(it, limit), it));
    // The pack takes the halves of both in turns.
    let in_turns = [_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d)];
    bytemuck::cast(in_turns.map(|it| _mm256_permute4x64_epi64::<0b11_01_10_00>(it)))
}

#[target_feature(enable = "avx2")]
#[inline]
fn at_most_u16(these: &[u16; 32], limit: u16) -> Lanes {
    let limit = _mm256_set1_epi16(limit as i16);
    let these: [__m256i; 2] = bytemuck::cast(*these);
    bytemuck::cast(these.map(|it| _mm256_cmpeq_epi16(_mm256_min_epu16(it, limit), it)))
}

#[target_feature(enable = "avx2")]
#[inline]
fn at_most_u8(these: &[u8; 32], limit: u8) -> Lanes {
    let these = bytemuck::cast(*these);
    widened_lanes(_mm256_cmpeq_epi8(
        _mm256_min_epu8(these, _mm256_set1_epi8(limit as i8)),
        these,
    ))
}

#[target_feature(enable = "avx2")]
#[inline]
fn not_0(these: &[u8; 32]) -> Lanes {
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
fn of_bits(bits: u32) -> Lanes {
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
fn bits(kept: Lanes) -> u32 {
    _mm256_movemask_epi8(lanes_of_8(kept)) as u32
}

#[target_feature(enable = "avx2")]
#[inline]
fn bytes(kept: Lanes) -> [u8; 32] {
    bytemuck::cast(_mm256_and_si256(lanes_of_8(kept), _mm256_set1_epi8(1)))
}

stream_lines!("avx2,f16c", __m256i, _mm256_stream_si256);

// Products. Every NaN among the elements is made quiet on the bits: AVX2 has no product but the language's, whose NaNs are
// the compiler's to choose.

#[target_feature(enable = "avx2")]
#[inline]
fn dropped_f32(x: [f32; 32], kept: Lanes, scale: f32) -> [f32; 32] {
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
fn dropped_f16(x: [f16; 32], kept: Lanes, scale: f32) -> [f16; 32] {
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
fn dropped_bf16(x: [bf16; 32], kept: Lanes, scale: f32) -> [bf16; 32] {
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
    rounded_bf16_quarter(_mm256_castps_si256(product))
}

/// Anything but a NaN, rounded to nearest even, in the lower half of each lane.
#[target_feature(enable = "avx2")]
#[inline]
fn rounded_bf16_quarter(wide: __m256i) -> __m256i {
    let odd = _mm256_and_si256(_mm256_srli_epi32::<16>(wide), _mm256_set1_epi32(1));
    let rounded = _mm256_add_epi32(_mm256_add_epi32(wide, _mm256_set1_epi32(0x7fff)), odd);
    _mm256_srli_epi32::<16>(rounded)
}

#[target_feature(enable = "avx2")]
#[inline]
fn with_quiet_nans(x: __m256i, products: __m256i, infinity: i16, quiet: i16) -> __m256i {
    let magnitude = _mm256_and_si256(x, _mm256_set1_epi16(0x7fff));
    let is_nan = _mm256_cmpgt_epi16(magnitude, _mm256_set1_epi16(infinity));
    _mm256_blendv_epi8(products, _mm256_or_si256(x, _mm256_set1_epi16(quiet)), is_nan)
}

#[target_feature(enable = "avx2")]
#[inline]
fn sums(these: [f32; 32], those: [f32; 32]) -> [f32; 32] {
    let [a, b, c, d]: [__m256; 4] = bytemuck::cast(these);
    let [k, l, m, n]: [__m256; 4] = bytemuck::cast(those);
    bytemuck::cast([
        _mm256_add_ps(a, k),
        _mm256_add_ps(b, l),
        _mm256_add_ps(c, m),
        _mm256_add_ps(d, n),
    ])
}

#[target_feature(enable = "avx2")]
#[inline]
fn widened_bf16(x: [bf16; 32]) -> [f32; 32] {
    let [a, b, c, d]: [__m128i; 4] = bytemuck::cast(x);
    bytemuck::cast([
        _mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(a)),
        _mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(b)),
        _mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(c)),
        _mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(d)),
    ])
}

#[target_feature(enable = "avx2")]
#[inline]
fn with_canonical_nans(wide: __m256) -> __m256i {
    let is_nan = _mm256_cmp_ps::<_CMP_UNORD_Q>(wide, wide);
    let canonical = _mm256_castsi256_ps(_mm256_set1_epi32(0x7fc0_0000));
    _mm256_castps_si256(_mm256_blendv_ps(wide, canonical, is_nan))
}

#[target_feature(enable = "avx2")]
#[inline]
fn narrowed_f32(wide: [f32; 32]) -> [f32; 32] {
    let [a, b, c, d]: [__m256; 4] = bytemuck::cast(wide);
    bytemuck::cast([
        with_canonical_nans(a),
        with_canonical_nans(b),
        with_canonical_nans(c),
        with_canonical_nans(d),
    ])
}

#[target_feature(enable = "avx2")]
#[inline]
fn narrowed_bf16(wide: [f32; 32]) -> [bf16; 32] {
    let [a, b, c, d]: [__m256; 4] = bytemuck::cast(wide);
    bytemuck::cast([narrowed_bf16_half(a, b), narrowed_bf16_half(c, d)])
}

/// The canonical NaN has no bits to round off, and none to carry into.
#[target_feature(enable = "avx2")]
#[inline]
fn narrowed_bf16_half(low: __m256, high: __m256) -> __m256i {
    let low = rounded_bf16_quarter(with_canonical_nans(low));
    let high = rounded_bf16_quarter(with_canonical_nans(high));
    // The pack takes the halves of both in turns.
    _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packus_epi32(low, high))
}

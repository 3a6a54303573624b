//! With AVX-512: eight blocks a register, masks of bits.

use core::arch::x86_64::{
    __m256i, __m512, __m512i, _CMP_UNORD_Q, _MM_FROUND_NO_EXC, _MM_FROUND_TO_NEAREST_INT, _mm_cvtsi32_si128,
    _mm256_cmple_epu8_mask, _mm256_maskz_set1_epi8, _mm256_set1_epi8, _mm256_test_epi8_mask, _mm512_add_epi32,
    _mm512_add_epi64, _mm512_add_ps, _mm512_and_si512, _mm512_castps_si512, _mm512_castsi512_ps, _mm512_cmp_ps_mask,
    _mm512_cmpgt_epi16_mask, _mm512_cmple_epu16_mask, _mm512_cmple_epu32_mask, _mm512_cvtepu16_epi32, _mm512_cvtph_ps,
    _mm512_cvtps_ph, _mm512_mask_blend_epi16, _mm512_mask_blend_epi32, _mm512_mask_ternarylogic_epi32,
    _mm512_maskz_mul_round_ps, _mm512_maskz_permutex2var_epi16, _mm512_mul_epu32, _mm512_or_si512,
    _mm512_permutex2var_epi16, _mm512_permutex2var_epi32, _mm512_permutexvar_epi64, _mm512_set_epi64,
    _mm512_set1_epi16, _mm512_set1_epi32, _mm512_set1_epi64, _mm512_set1_ps, _mm512_setzero_si512,
    _mm512_shuffle_epi32, _mm512_sll_epi32, _mm512_slli_epi32, _mm512_srl_epi32, _mm512_srli_epi64,
    _mm512_stream_si512, _mm512_sub_epi32, _mm512_ternarylogic_epi64, _mm512_test_epi32_mask, _mm512_unpackhi_epi16,
    _mm512_unpackhi_epi64, _mm512_unpacklo_epi16, _mm512_unpacklo_epi64, _mm512_xor_si512,
};
use core::hint::black_box;
use core::ops::Range;

use half::{bf16, f16};

use super::{Neighbours, Walk, bytes_ahead, fence, neighbours_from, prefetch, prefetch_32};
use crate::cpu::words::{BATCH, BATCH_WORDS, BEFORE, Blocks, Compute, Instructions, Sequence, TakeWords, WORDS, Words};
use crate::philox::{MULTIPLIERS, ROUNDS};

/// Proof that the processor has AVX-512 F, BW, DQ and VL: there is no other way to one than `detect`.
#[derive(Clone, Copy)]
pub(super) struct Avx512(());

impl Avx512 {
    pub(super) fn detect() -> Option<Self> {
        let has_all = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl");
        has_all.then_some(Self(()))
    }
}

impl Instructions for Avx512 {
    #[inline(always)]
    fn apart(self, this: impl Compute) {
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
        #[inline(never)]
        fn apart(this: impl Compute, instructions: Avx512) {
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

    /// A bit for each.
    type Kept = u32;

    #[inline(always)]
    fn of_bits(self, bits: u32) -> u32 {
        bits
    }

    #[inline(always)]
    fn bits(self, kept: u32) -> u32 {
        kept
    }

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
        moved(before: &mut [u32; BEFORE], these: &[u32; WORDS], from_before: usize) -> [u32; WORDS];
        words_of(sequence: &Sequence, numbers: &[u64; BATCH], out: &mut [u32; BATCH_WORDS]);
        step(sequence: &Sequence, walk: &mut Walk, out: &mut Blocks);
        at_most_u32(these: &[u32; 32], limit: u32) -> Self::Kept;
        at_most_u16(these: &[u16; 32], limit: u16) -> Self::Kept;
        at_most_u8(these: &[u8; 32], limit: u8) -> Self::Kept;
        not_0(these: &[u8; 32]) -> Self::Kept;
        bytes(kept: u32) -> [u8; 32];
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

/// As many registers as have a piece's words, eight blocks each, as they go through the rounds.
type Piece = [[__m512i; 4]; WORDS / 32];

/// Three pieces are on their way at once, one in its last rounds, one in its middle rounds, one in its first: so many multiplications
/// that do not wait for each other it takes to keep the multipliers busy, and what is done with one piece's words is done beside the
/// rounds of the others.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn words(sequence: &Sequence, first: u64, pieces: usize, take: &mut impl TakeWords) -> usize {
    const BLOCKS: usize = 8;
    let lanes = |word: u32| _mm512_set1_epi64(i64::from(word));
    let m = MULTIPLIERS.map(lanes);
    // So many blocks ahead the first product of neighbours differs by so many times the multiplier.
    let ahead = |blocks: usize| _mm512_set1_epi64((u64::from(MULTIPLIERS[0]) * blocks as u64) as i64);
    let neighbours = Neighbours::of(sequence, first);
    let alike = pieces.min((neighbours_from(first) / (WORDS / 4) as u64) as usize);
    let mut first_product = _mm512_mul_epu32(m[0], _mm512_add_epi64(_mm512_set1_epi64(first as i64), order()));
    // The first two rounds of the next piece, as far as they are the blocks' own.
    let mut next = || {
        let piece: Piece =
            core::array::from_fn(|j| second_round(&neighbours, _mm512_add_epi64(first_product, ahead(j * BLOCKS))));
        first_product = _mm512_add_epi64(first_product, ahead(WORDS / 4));
        piece
    };
    let any = |piece: &Piece| _mm512_or_si512(piece[0][0], piece[1][0]);
    let mut oldest = next();
    rounds(sequence, 2..7, &mut oldest);
    let mut middle = next();
    rounds(sequence, 2..4, &mut middle);
    for _ in 0..alike {
        rounds(sequence, 7..8, &mut oldest);
        let mut youngest = next();
        rounds(sequence, 4..5, &mut middle);
        rounds(sequence, 8..9, &mut oldest);
        rounds(sequence, 5..6, &mut middle);
        rounds(sequence, 2..3, &mut youngest);
        let mut words = Words([0; WORDS]);
        last_round(sequence, oldest, &mut words.0);
        rounds(sequence, 6..7, &mut middle);
        rounds(sequence, 3..4, &mut youngest);
        // Compilers would move the rounds of each to where its words are used, one behind the other.
        let [w0, _, w1, _] = bytemuck::cast(words.0);
        black_box(_mm512_or_si512(
            _mm512_or_si512(w0, w1),
            _mm512_or_si512(any(&middle), any(&youngest)),
        ));
        take.take(&words.0);
        oldest = middle;
        middle = youngest;
    }
    alike
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
#[inline]
fn moved(before: &mut [u32; BEFORE], these: &[u32; WORDS], from_before: usize) -> [u32; WORDS] {
    const LANES: [u32; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
    let at = _mm512_add_epi32(bytemuck::cast(LANES), _mm512_set1_epi32(16 - (from_before / 4) as i32));
    let bits = from_before as i32 % 4 * 8;
    let mut last: __m512i = bytemuck::cast(*before);
    let mut moved: [__m512i; WORDS / 16] = bytemuck::cast(*these);
    if bits == 0 {
        for register in &mut moved {
            let next = *register;
            *register = _mm512_permutex2var_epi32(last, at, next);
            last = next;
        }
    } else {
        let at_below = _mm512_sub_epi32(at, _mm512_set1_epi32(1));
        let (up, down) = (_mm_cvtsi32_si128(bits), _mm_cvtsi32_si128(32 - bits));
        for register in &mut moved {
            let next = *register;
            let below = _mm512_srl_epi32(_mm512_permutex2var_epi32(last, at_below, next), down);
            let above = _mm512_sll_epi32(_mm512_permutex2var_epi32(last, at, next), up);
            *register = _mm512_or_si512(below, above);
            last = next;
        }
    }
    *before = bytemuck::cast(last);
    bytemuck::cast(moved)
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
#[inline]
fn rounds<const N: usize>(sequence: &Sequence, these: Range<usize>, c: &mut [[__m512i; 4]; N]) {
    let lanes = |word: u32| _mm512_set1_epi64(i64::from(word));
    let [m0, m1] = MULTIPLIERS.map(lanes);
    for keys in &sequence.keys[these] {
        let (k0, k1) = (_mm512_set1_epi64(keys[0] as i64), _mm512_set1_epi64(keys[1] as i64));
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

/// What neighbours with this first product come to after two rounds: two multiplications of which are their own.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
#[inline]
fn second_round(neighbours: &Neighbours, first_product: __m512i) -> [__m512i; 4] {
    let lanes = |word: u32| _mm512_set1_epi64(i64::from(word));
    let second = _mm512_xor_si512(_mm512_srli_epi64::<32>(first_product), lanes(neighbours.first));
    let product = _mm512_mul_epu32(lanes(MULTIPLIERS[1]), second);
    [
        _mm512_xor_si512(_mm512_srli_epi64::<32>(product), lanes(neighbours.second[0])),
        product,
        _mm512_xor_si512(first_product, lanes(neighbours.second[1])),
        lanes(neighbours.product),
    ]
}

/// The last round, in which a product with its halves exchanged is two words but for an exclusive or into the lower, and the
/// words of blocks that were dealt to the lanes in [`order`], block by block.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
#[inline]
fn last_round<const N: usize>(sequence: &Sequence, c: [[__m512i; 4]; N], out: &mut [u32]) {
    let lanes = |word: u32| _mm512_set1_epi64(i64::from(word));
    let [m0, m1] = MULTIPLIERS.map(lanes);
    let [k0, k1] = sequence.keys[ROUNDS - 1].map(|key| _mm512_set1_epi64(key as i64));
    // Compilers turn a choice that they know into shuffles.
    let lower = black_box(0x5555);
    for (out, c) in out.chunks_exact_mut(32).zip(c) {
        let a = _mm512_shuffle_epi32::<0b10_11_00_01>(_mm512_mul_epu32(m0, c[0]));
        let b = _mm512_shuffle_epi32::<0b10_11_00_01>(_mm512_mul_epu32(m1, c[2]));
        let low = _mm512_mask_ternarylogic_epi32::<0x96>(b, lower, c[1], k0);
        let high = _mm512_mask_ternarylogic_epi32::<0x96>(a, lower, c[3], k1);
        let (front, back) = out.split_at_mut(16);
        front.copy_from_slice(&bytemuck::cast::<__m512i, [u32; 16]>(_mm512_unpacklo_epi64(low, high)));
        back.copy_from_slice(&bytemuck::cast::<__m512i, [u32; 16]>(_mm512_unpackhi_epi64(low, high)));
    }
}

/// Which block goes to which lane, so that one unpack of word pairs lays them out in order.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
#[inline]
fn order() -> __m512i {
    _mm512_set_epi64(7, 3, 6, 2, 5, 1, 4, 0)
}

/// Blocks anywhere, eight a register, as they go into the first round.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
#[inline]
fn counters(subsequence: u64, numbers: [__m512i; BATCH / 8]) -> [[__m512i; 4]; BATCH / 8] {
    let lanes = |word: u32| _mm512_set1_epi64(i64::from(word));
    let mut c = [[
        _mm512_setzero_si512(),
        _mm512_setzero_si512(),
        lanes(subsequence as u32),
        lanes((subsequence >> 32) as u32),
    ]; _];
    // A loop, for compilers make a function of a map of so many, and not for these instructions.
    for (c, blocks) in c.iter_mut().zip(numbers) {
        (c[0], c[1]) = (blocks, _mm512_srli_epi64::<32>(blocks));
    }
    c
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn words_of(sequence: &Sequence, numbers: &[u64; BATCH], out: &mut [u32; BATCH_WORDS]) {
    let numbers: [__m512i; BATCH / 8] = bytemuck::cast(*numbers);
    let dealt = numbers.map(|numbers| _mm512_permutexvar_epi64(order(), numbers));
    let mut c = counters(sequence.subsequence, dealt);
    rounds(sequence, 0..ROUNDS - 1, &mut c);
    last_round(sequence, c, out);
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn step(sequence: &Sequence, walk: &mut Walk, out: &mut Blocks) {
    let distance = _mm512_set1_epi64(walk.distance() as i64);
    let these: [__m512i; BATCH / 8] = bytemuck::cast(walk.next);
    for (next, these) in walk.next.as_chunks_mut::<8>().0.iter_mut().zip(these) {
        *next = bytemuck::cast(_mm512_add_epi64(these, distance));
    }
    let mut c;
    if let Some(neighbours) = &walk.neighbours {
        c = [[_mm512_setzero_si512(); 4]; _];
        for (c, first_products) in c.iter_mut().zip(these) {
            *c = second_round(neighbours, first_products);
        }
        rounds(sequence, 2..ROUNDS, &mut c);
    } else {
        c = counters(sequence.subsequence, these);
        rounds(sequence, 0..ROUNDS, &mut c);
    }
    put(&c, out);
}

/// The words, which are the lower halves of lanes.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
#[inline]
fn put(c: &[[__m512i; 4]; BATCH / 8], out: &mut Blocks) {
    const LOWER: [u32; 16] = [0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30];
    for (at, [low, high]) in (0..BATCH).step_by(16).zip(c.as_chunks().0) {
        for ((out, &low), &high) in out.0.iter_mut().zip(low).zip(high) {
            let words = _mm512_permutex2var_epi32(low, bytemuck::cast(LOWER), high);
            out[at..at + 16].copy_from_slice(&bytemuck::cast::<__m512i, [u32; 16]>(words));
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
#[inline]
fn at_most_u32(these: &[u32; 32], limit: u32) -> u32 {
    let [low, high]: [__m512i; 2] = bytemuck::cast(*these);
    let limit = _mm512_set1_epi32(limit as i32);
    u32::from(_mm512_cmple_epu32_mask(low, limit)) | u32::from(_mm512_cmple_epu32_mask(high, limit)) << 16
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
#[inline]
fn at_most_u16(these: &[u16; 32], limit: u16) -> u32 {
    _mm512_cmple_epu16_mask(bytemuck::cast(*these), _mm512_set1_epi16(limit as i16))
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
#[inline]
fn at_most_u8(these: &[u8; 32], limit: u8) -> u32 {
    _mm256_cmple_epu8_mask(bytemuck::cast(*these), _mm256_set1_epi8(limit as i8))
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
#[inline]
fn not_0(these: &[u8; 32]) -> u32 {
    let these = bytemuck::cast(*these);
    _mm256_test_epi8_mask(these, these)
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
#[inline]
fn bytes(kept: u32) -> [u8; 32] {
    bytemuck::cast(_mm256_maskz_set1_epi8(kept, 1))
}

stream_lines!("avx512f,avx512bw,avx512dq,avx512vl", __m512i, _mm512_stream_si512);

// Products. One operand at most is a NaN, and the instruction makes it quiet and keeps its other bits, as the contract
// wants it; no scale but 0 makes one of an infinity. That holds for the instruction, not for a product in the language, so
// that the multiplications of AVX-512 are those with a rounding of their own, which compilers do not take for one.

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
#[inline]
fn product(kept: u16, x: __m512, scale: f32) -> __m512 {
    _mm512_maskz_mul_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(kept, x, _mm512_set1_ps(scale))
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
#[inline]
fn dropped_f32(x: [f32; 32], kept: u32, scale: f32) -> [f32; 32] {
    let [low, high]: [__m512; 2] = bytemuck::cast(x);
    bytemuck::cast([
        product(kept as u16, low, scale),
        product((kept >> 16) as u16, high, scale),
    ])
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
#[inline]
fn dropped_f16(x: [f16; 32], kept: u32, scale: f32) -> [f16; 32] {
    let [low, high]: [__m256i; 2] = bytemuck::cast(x);
    bytemuck::cast([
        half_f16(low, kept as u16, scale),
        half_f16(high, (kept >> 16) as u16, scale),
    ])
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
#[inline]
fn half_f16(x: __m256i, kept: u16, scale: f32) -> __m256i {
    _mm512_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(product(kept, _mm512_cvtph_ps(x), scale))
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
#[inline]
fn dropped_bf16(x: [bf16; 32], kept: u32, scale: f32) -> [bf16; 32] {
    let x: __m512i = bytemuck::cast(x);
    let zero = _mm512_setzero_si512();
    // Interleaved with zeros within each part of the register, and back.
    let low = rounded_bf16_half(_mm512_unpacklo_epi16(zero, x), scale);
    let high = rounded_bf16_half(_mm512_unpackhi_epi16(zero, x), scale);
    bytemuck::cast(_mm512_maskz_permutex2var_epi16(kept, low, upper_halves(), high))
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
#[inline]
fn rounded_bf16_half(wide: __m512i, scale: f32) -> __m512i {
    rounded_to_upper_half(_mm512_castps_si512(product(u16::MAX, _mm512_castsi512_ps(wide), scale)))
}

/// Rounded to nearest even in the upper half of each lane: half of what is cut off is added, less one unless the last
/// bit kept is odd. No NaN's upper half changes that [`product`] made.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
#[inline]
fn rounded_to_upper_half(wide: __m512i) -> __m512i {
    let odd = _mm512_test_epi32_mask(wide, _mm512_set1_epi32(0x1_0000));
    let half = _mm512_mask_blend_epi32(odd, _mm512_set1_epi32(0x7fff), _mm512_set1_epi32(0x8000));
    _mm512_add_epi32(wide, half)
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
fn widened_f16(x: [f16; 32]) -> [f32; 32] {
    let halves: [__m256i; 2] = bytemuck::cast(x);
    bytemuck::cast(halves.map(|x| _mm512_cvtph_ps(x)))
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
#[inline]
fn narrowed_f16(wide: [f32; 32]) -> [f16; 32] {
    let halves: [__m512; 2] = bytemuck::cast(wide);
    let narrow = halves.map(|wide| _mm512_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(wide));
    let narrow: __m512i = bytemuck::cast(narrow);
    let magnitude = _mm512_and_si512(narrow, _mm512_set1_epi16(0x7fff));
    let is_nan = _mm512_cmpgt_epi16_mask(magnitude, _mm512_set1_epi16(0x7c00));
    bytemuck::cast(_mm512_mask_blend_epi16(is_nan, narrow, _mm512_set1_epi16(0x7e00)))
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
#[inline]
fn sums(these: [f32; 32], those: [f32; 32]) -> [f32; 32] {
    let [a, b]: [__m512; 2] = bytemuck::cast(these);
    let [c, d]: [__m512; 2] = bytemuck::cast(those);
    bytemuck::cast([_mm512_add_ps(a, c), _mm512_add_ps(b, d)])
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
#[inline]
fn widened_bf16(x: [bf16; 32]) -> [f32; 32] {
    let [low, high]: [__m256i; 2] = bytemuck::cast(x);
    bytemuck::cast([
        _mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(low)),
        _mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(high)),
    ])
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
#[inline]
fn with_canonical_nans(wide: __m512) -> __m512i {
    let is_nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(wide, wide);
    _mm512_mask_blend_epi32(is_nan, _mm512_castps_si512(wide), _mm512_set1_epi32(0x7fc0_0000))
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
#[inline]
fn narrowed_f32(wide: [f32; 32]) -> [f32; 32] {
    let [low, high]: [__m512; 2] = bytemuck::cast(wide);
    bytemuck::cast([with_canonical_nans(low), with_canonical_nans(high)])
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
#[inline]
fn narrowed_bf16(wide: [f32; 32]) -> [bf16; 32] {
    // Of each 32-bit lane of both registers, one after the other.
    const UPPER_HALVES: [u16; 32] = {
        let mut places = [1; 32];
        let mut i = 1;
        while i < 32 {
            places[i] = places[i - 1] + 2;
            i += 1;
        }
        places
    };
    let [low, high]: [__m512; 2] = bytemuck::cast(wide);
    let low = rounded_to_upper_half(with_canonical_nans(low));
    let high = rounded_to_upper_half(with_canonical_nans(high));
    bytemuck::cast(_mm512_permutex2var_epi16(low, bytemuck::cast(UPPER_HALVES), high))
}

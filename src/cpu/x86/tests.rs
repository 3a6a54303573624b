//! Both beside the portable path.

use core::ops::Range;

use half::{bf16, f16};

use super::*;
use crate::cpu::decide::{Decide as _, Decision, KeepByte};
use crate::cpu::fused::{Fused, PartialSums};
use crate::cpu::job::{Data, Job, Sink, Source, scaled, streams, training};
use crate::cpu::outputs::{Dropped, Made, before_line};
use crate::cpu::pieces::{ByPieces, Gathered, Pieces};
use crate::cpu::scale::Scale as _;
use crate::cpu::words::{BATCH_WORDS, BEFORE, Blocks, Instructions, Portable, TakeWords, WORDS};
use crate::draw::Seeds;
use crate::philox::block;
use crate::rand_core::Rng as _;
use crate::{Draw, Element, IndexMap, MaskFormat, Neighbours, Philox4x32, RandomBits};

/// The portable path, and every instruction set that the processor has: not only the one that is chosen.
#[derive(Clone, Copy, Debug)]
enum Set {
    Portable,
    Avx512,
    Avx2,
}

impl Set {
    /// Those to compare with the portable path. What the processor has not can't be.
    fn all() -> Vec<Self> {
        let avx512 = Avx512::detect().map(|_| Self::Avx512);
        let avx2 = Avx2::detect().map(|_| Self::Avx2);
        avx512.into_iter().chain(avx2).collect()
    }

    fn compute(self, this: impl Compute) {
        match self {
            Self::Portable => this.compute(Portable),
            Self::Avx512 => Avx512::detect().expect("AVX-512").apart(this),
            Self::Avx2 => Avx2::detect().expect("AVX2").apart(this),
        }
    }
}

/// Where outputs begin that go past the caches: anywhere in a line. Nowhere under Miri: such stores are assembly.
const SHIFTS: Range<usize> = if cfg!(miri) { 0..0 } else { 1..20 };

/// Starts around carries of the low and of both words; nothing in them is symmetric.
const STARTS: [u64; 8] = [
    0,
    1,
    0xffff_fff0,
    0xffff_ffc0,
    0x1234_5678_ffff_ffe1,
    0x1234_5678_ffff_ff9f,
    u64::MAX - 7,
    u64::MAX,
];

impl TakeWords for Vec<u32> {
    fn take(&mut self, words: &[u32; WORDS]) {
        self.extend(words);
    }
}

fn check(instructions: impl Instructions) {
    let sequence = Sequence::new(0xfeed_face_cafe_beef, 0x0123_4567_89ab_cdef);
    for first in STARTS {
        // Up to more than one past the carries, and more than are on their way at once.
        for pieces in 0..8 {
            let (mut expected, mut actual) = (Vec::new(), Vec::new());
            let drawn = instructions.words(&sequence, first, pieces, &mut actual);
            // All, or up to the piece within which the lower word overflows.
            let to_overflow = ((1 << 32) - (first & 0xffff_ffff)) / (WORDS as u64 / 4);
            assert_eq!(
                drawn as u64,
                to_overflow.min(pieces as u64),
                "{pieces} pieces from {first:#x}"
            );
            assert_eq!(Portable.words(&sequence, first, drawn, &mut expected), drawn);
            assert_eq!(actual, expected, "{pieces} pieces from {first:#x}");
        }
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

/// Word by word and byte by byte.
#[test]
fn words_are_moved_as_their_bytes_are() {
    fn check(instructions: impl Instructions) {
        let word = |i: usize| (i as u32).wrapping_mul(2_654_435_761);
        for from_before in 1..16 {
            let first: [u32; BEFORE] = core::array::from_fn(|i| word(i + 1));
            let pieces: [[u32; WORDS]; 3] =
                core::array::from_fn(|n| core::array::from_fn(|i| word((n + 1) * 1000 + i)));
            let all = first.iter().chain(pieces.as_flattened());
            let bytes: Vec<u8> = all.flat_map(|word| word.to_le_bytes()).collect();
            let mut before = first;
            let mut at = 4 * BEFORE - from_before;
            for piece in &pieces {
                let moved = instructions.moved(&mut before, piece, from_before);
                let actual: Vec<u8> = moved.iter().flat_map(|word| word.to_le_bytes()).collect();
                assert_eq!(actual, bytes[at..at + 4 * WORDS], "{from_before} bytes");
                at += 4 * WORDS;
            }
        }
    }
    check(Portable);
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
    let all = instructions.of_bits(u32::MAX);
    for scale in SCALES {
        for first in (0..=u16::MAX).step_by(32) {
            let x: [f16; 32] = core::array::from_fn(|i| f16::from_bits(first + i as u16));
            let expected = x.map(|x| x.scaled(scale).to_bits());
            let actual = instructions.dropped_f16(x, all, scale).map(f16::to_bits);
            assert_eq!(actual, expected, "f16 from {first:#x} by {scale}");
            let x = x.map(|x| bf16::from_bits(x.to_bits()));
            let expected = x.map(|x| x.scaled(scale).to_bits());
            let actual = instructions.dropped_bf16(x, all, scale).map(bf16::to_bits);
            assert_eq!(actual, expected, "bf16 from {first:#x} by {scale}");
        }
    }
}

/// Each width of random bits, and bytes of a mask.
fn check_decisions<I: Instructions>(instructions: I) {
    let word = |i: u32| i.wrapping_mul(2_654_435_761).rotate_left(i % 32);
    for n in 0..if cfg!(miri) { 9 } else { 1000 } {
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
fn check_dropped<I: Instructions, L: Decision>(instructions: I, x: [f32; 32], these: &[L; 32], limit: u32, scale: f32) {
    let kept = L::kept_32(these, limit, instructions);
    let is_kept: [bool; 32] = these.map(|it| it.is_kept(limit));
    let bits = Portable.bits(is_kept);
    assert_eq!(instructions.bits(kept), bits, "{is_kept:?}");
    assert_eq!(instructions.bytes(instructions.of_bits(bits)), is_kept.map(u8::from));
    let bits = core::array::from_fn(|i| if is_kept[i] { x[i].scaled(scale).to_bits() } else { 0 });
    let actual = instructions.dropped_f32(x, kept, scale).map(f32::to_bits);
    assert_eq!(actual, bits, "{is_kept:?} of {x:?} by {scale}");
    let x = x.map(|x| f16::from_bits((x.to_bits() >> 16) as u16));
    // Miri does not know the conversions of f16.
    if !cfg!(miri) {
        let bits = core::array::from_fn(|i| if is_kept[i] { x[i].scaled(scale).to_bits() } else { 0 });
        let actual = instructions.dropped_f16(x, kept, scale).map(f16::to_bits);
        assert_eq!(actual, bits, "{is_kept:?} of {x:?} by {scale}");
    }
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
    let check_wide = |wide: [f32; 32], expected: [f32; 32]| {
        for (wide, expected) in wide.into_iter().zip(expected) {
            let same = wide.to_bits() == expected.to_bits() || (wide.is_nan() && expected.is_nan());
            assert!(same, "{wide:?}, expected {expected:?}");
        }
    };
    let check_narrowed = |wide: [f32; 32]| {
        let [actual, expected] = [instructions.narrowed_f16(wide), Portable.narrowed_f16(wide)];
        assert_eq!(actual.map(f16::to_bits), expected.map(f16::to_bits), "{wide:?}");
        let [actual, expected] = [instructions.narrowed_bf16(wide), Portable.narrowed_bf16(wide)];
        assert_eq!(actual.map(bf16::to_bits), expected.map(bf16::to_bits), "{wide:?}");
        let [actual, expected] = [instructions.narrowed_f32(wide), Portable.narrowed_f32(wide)];
        assert_eq!(actual.map(f32::to_bits), expected.map(f32::to_bits), "{wide:?}");
        let those = core::array::from_fn(|i| wide[31 - i]);
        check_wide(instructions.sums(wide, those), Portable.sums(wide, those));
    };
    for first in (0..=u16::MAX).step_by(32) {
        let x: [f16; 32] = core::array::from_fn(|i| f16::from_bits(first + i as u16));
        let wide_f16 = Portable.widened_f16(x);
        check_wide(instructions.widened_f16(x), wide_f16);
        let x = x.map(|x| bf16::from_bits(x.to_bits()));
        let wide_bf16 = Portable.widened_bf16(x);
        check_wide(instructions.widened_bf16(x), wide_bf16);
        // Around each of them, and halfway to the next one; tiny, huge and no numbers too.
        for step in [0, 0x0fff, 0x1000, 0x1001, 0x1fff, 0x7fff, 0x8000, 0x8001, 0xffff] {
            for wide in [wide_f16, wide_bf16] {
                check_narrowed(wide.map(|wide| f32::from_bits(wide.to_bits() ^ step)));
            }
        }
        check_narrowed(core::array::from_fn(|i| {
            f32::from_bits((u32::from(first) << 16) | (0x1234 * i as u32))
        }));
    }
}

#[test]
fn conversions_and_sums_equal_the_portable_ones() {
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

/// A fused forward in rows shorter, as long and longer than what is done at once, and the sum of its rows.
fn check_fused<T: Element>(x: &[T]) {
    for columns in [1, 7, 31, 32, 33, 62, 63, 77, 1001, 8201] {
        let rows = 16_500 / columns;
        let elements = rows * columns;
        let [bias, residual] = [&x[33_000..][..columns], &x[16_500..][..elements]];
        for (bias, residual) in [(Some(bias), Some(residual)), (Some(bias), None), (None, Some(residual))] {
            let neighbours = Neighbours { bias, residual };
            let fused = Fused::new(&x[..elements], neighbours);
            let map = IndexMap::new(&[rows as u64, columns as u64], &[1, 0]).expect("a map");
            let dropout = crate::Dropout::new(0.3, 5).expect("a probability");
            for draw in [Draw::from(&dropout), dropout.over(&map)] {
                // Past the caches as well, to anywhere in a line; what is beside it stays as it is.
                let run = |set: Set, streams, shift| {
                    let mut y = vec![x[0]; elements + 40];
                    let job = Job {
                        streams,
                        ..training(draw, elements, Data::Fused(fused, &mut y[shift..][..elements]))
                    };
                    set.compute(job);
                    bytemuck::cast_slice::<T, u8>(&y).to_vec()
                };
                let streamed = SHIFTS.map(|shift| (true, shift));
                for (streams, shift) in [(false, 0)].into_iter().chain(streamed) {
                    let expected = run(Set::Portable, false, shift);
                    for set in Set::all() {
                        let shape = format!("{columns} columns, {} {}", bias.is_some(), residual.is_some());
                        assert_eq!(
                            run(set, streams, shift),
                            expected,
                            "{set:?}, {shape}, {streams}, {shift}"
                        );
                    }
                }
            }
        }
        let run = |set: Set| {
            let mut sums = vec![0.0; elements.div_ceil(64 * columns) * columns];
            let dx = &x[..elements];
            set.compute(PartialSums {
                dx,
                columns,
                sums: &mut sums,
            });
            // Which NaN a sum is does not matter: in the end it is narrowed to the canonical one.
            sums.into_iter()
                .map(|sum| f32::narrowed(sum).to_bits())
                .collect::<Vec<_>>()
        };
        let expected = run(Set::Portable);
        for set in Set::all() {
            assert_eq!(run(set), expected, "{set:?}, {columns} columns");
        }
    }
}

#[test]
fn fused_jobs_equal_the_portable_ones() {
    let bits = |i: u32| i.wrapping_mul(2_654_435_761);
    let x: Vec<f32> = (0..3 * 16_500).map(|i| f32::from_bits(bits(i))).collect();
    check_fused(&x);
    check_fused(
        &x.iter()
            .map(|x| f16::from_bits((x.to_bits() >> 11) as u16))
            .collect::<Vec<_>>(),
    );
    check_fused(
        &x.iter()
            .map(|x| bf16::from_bits((x.to_bits() >> 11) as u16))
            .collect::<Vec<_>>(),
    );
}

/// Whole jobs.
#[test]
#[allow(clippy::print_stdout, reason = "says what there was to compare")]
fn jobs_equal_the_portable_ones() {
    // With nothing captured, this says what was.
    println!("compared with the portable path: {:?}", Set::all());
    let x: Vec<f32> = (0..16_500).map(|i| i as f32 - 2500.0).collect();
    for random_bits in RandomBits::ALL {
        let stores = [None, Some(MaskFormat::Bits), Some(MaskFormat::Bytes)];
        // Past the caches, outputs lie anywhere in their lines; what is beside them stays as it is.
        let streamed = SHIFTS.flat_map(|shift| stores.map(|store| (store, true, shift)));
        // Rows, rows that share a decision, columns, many and few, whose blocks start alike and not, elements each for itself, and short
        // rows, of more than a piece together.
        let strides: [(&[u64], &[u64]); 22] = [
            (&[50, 100], &[400, 1]),
            (&[49, 101], &[401, 1]),
            (&[2, 2400], &[2401, 1]),
            (&[2, 8200], &[8201, 1]),
            (&[50, 100], &[1, 0]),
            (&[2, 2500], &[1, 0]),
            (&[2, 8205], &[1, 0]),
            (&[4, 1250], &[1, 0]),
            (&[50, 100], &[1, 64]),
            (&[50, 100], &[1, 51]),
            (&[3, 70, 33], &[3333, 1, 101]),
            (&[131, 67], &[1, 131]),
            (&[1667, 3], &[1, 1680]),
            (&[3, 555, 5], &[7777, 1, 557]),
            (&[300, 31], &[1, 304]),
            (&[1000, 5], &[7, 3]),
            (&[711, 7], &[29, 1]),
            (&[200, 31], &[32, 1]),
            (&[5000, 2], &[3, 1]),
            (&[40, 7, 18], &[900, 31, 1]),
            (&[300, 17], &[1, 0]),
            (&[100, 3, 17], &[7, 2, 0]),
        ];
        let maps = strides.map(|(shape, strides)| IndexMap::new(shape, strides).expect("a map"));
        let ways: Vec<_> = stores
            .map(|store| (store, false, 0))
            .into_iter()
            .chain(streamed)
            .collect();
        let seeds: Vec<u64> = (0..50).map(|i| i * i).collect();
        let seeds = Seeds {
            values: &seeds,
            elements_per_seed: 100,
        };
        let maps: Vec<_> = [None].into_iter().chain(maps.iter().map(Some)).collect();
        // Seeds with the plain tensor, with rows, and with rows that share a decision.
        let with_seeds = [maps[0], maps[1], maps[5]].map(|map| (map, Some(seeds)));
        let draws: Vec<_> = maps.into_iter().map(|map| (map, None)).chain(with_seeds).collect();
        let cases = draws.into_iter().flat_map(|draw| {
            ways.iter()
                .map(move |&(store, streams, shift)| (store, streams, shift, draw))
        });
        for (store, streams, shift, (map, seeds)) in cases {
            let probability = crate::Probability::new(0.3, random_bits).expect("a probability");
            let dropout = crate::Dropout::new(0.3, 5)
                .expect("a probability")
                .with_probability(probability);
            // Block numbers carry within.
            let carry = u64::from(random_bits.lanes()) << 32;
            let dropout = dropout.with_element_offset(carry - 999);
            let draw = Draw {
                map,
                seeds,
                ..Draw::from(&dropout)
            };
            let run = |set: Set, streams| {
                let len = map.map_or(5000, |map| map.elements() as usize);
                let (mut y, mut bits, mut bytes) =
                    (vec![7.0f32; len + 40], vec![0u32; len.div_ceil(32)], vec![0u8; len]);
                let (x, out) = (&x[..len], &mut y[shift..][..len]);
                let data = match store {
                    None => Data::Apart(x, out),
                    Some(MaskFormat::Bits) => Data::Stored(x, out, Sink::Bits(&mut bits)),
                    Some(MaskFormat::Bytes) => Data::Stored(x, out, Sink::Bytes(&mut bytes)),
                };
                let job = Job {
                    streams,
                    ..training(draw, len, data)
                };
                set.compute(job);
                (y.iter().map(|y| y.to_bits()).collect::<Vec<_>>(), bits, bytes)
            };
            let expected = run(Set::Portable, false);
            for set in Set::all() {
                assert_eq!(
                    run(set, streams),
                    expected,
                    "{set:?}, {random_bits:?}, {store:?}, {streams}, {shift}, {map:?}, {}",
                    seeds.is_some()
                );
            }
        }
    }
}

/// Several tasks, which share lines past the caches.
#[test]
#[cfg_attr(miri, ignore = "stores past the caches are assembly")]
fn tasks_meet_anywhere_in_a_line() {
    fn check<T: Element>(x: &[T]) {
        let shapes = [None, Some((1001, 1001)), Some((1001, 1003)), Some((33_333, 40_000))];
        for (random_bits, shape) in RandomBits::ALL
            .into_iter()
            .flat_map(|bits| shapes.map(|shape| (bits, shape)))
        {
            let map =
                shape.map(|(row, stride)| IndexMap::new(&[x.len() as u64 / row, row], &[stride, 1]).expect("a map"));
            let len = map.as_ref().map_or(x.len(), |map| map.elements() as usize);
            let probability = crate::Probability::new(0.3, random_bits).expect("a probability");
            let dropout = crate::Dropout::new(0.3, 5)
                .expect("a probability")
                .with_probability(probability)
                .with_element_offset((1 << 40) + 5);
            let draw = Draw {
                map: map.as_ref(),
                ..Draw::from(&dropout)
            };
            let mut expected = vec![T::zeroed(); len];
            training(draw, len, Data::Apart(&x[..len], &mut expected)).compute(Portable);
            for shift in [0, 1, 7, 8, 18] {
                let mut y = vec![x[0]; len + 40];
                let data = Data::Apart(&x[..len], &mut y[shift..][..len]);
                Job {
                    streams: true,
                    ..training(draw, len, data)
                }
                .run();
                let (before, after) = y.split_at(shift);
                let (y, after) = after.split_at(len);
                let same = bytemuck::cast_slice::<T, u8>(y) == bytemuck::cast_slice::<T, u8>(&expected);
                assert!(same, "{random_bits:?}, {shape:?}, {shift}");
                let untouched = before
                    .iter()
                    .chain(after)
                    .all(|y| bytemuck::bytes_of(y) == bytemuck::bytes_of(&x[0]));
                assert!(untouched, "{random_bits:?}, {shape:?}, {shift}");
            }
        }
    }
    let x: Vec<f32> = (0..210_000).map(|i| i as f32 - 700.0).collect();
    check(&x);
    check(&x.iter().map(|&x| bf16::from_f32(x)).collect::<Vec<_>>());
}

/// Whatever comes after what.
#[test]
#[cfg_attr(miri, ignore = "stores past the caches are assembly")]
fn gathered_decisions_are_made_in_order() {
    fn check<T: Element>(x: &[T], instructions: impl Instructions) {
        let mut random = Philox4x32::new(7, 0);
        for shift in 0..20 {
            let (mut expected, mut buffer) = (vec![T::zeroed(); x.len()], vec![T::zeroed(); x.len() + 40]);
            let mut made = Made {
                make: Dropped { of: x, scale: 2.0 },
                y: &mut expected,
            };
            let y = &mut buffer[shift..][..x.len()];
            let mut pieces = Pieces::new(Data::Apart(x, y), x.len(), 2.0, true, instructions);
            let mut gathered = Gathered::new(&mut pieces, 512);
            let mut at = 0;
            // The last is a piece, of which some wait when it ends.
            while at < x.len() {
                let left = (x.len() - WORDS).saturating_sub(at);
                let lanes: [u32; WORDS] = core::array::from_fn(|_| random.next_u32());
                let bytes: &[u8] = bytemuck::cast_slice(&lanes);
                let some = (random.next_u32() as usize % 100).min(left);
                at += match random.next_u32() % 4 {
                    0 if left >= lanes.len() || left == 0 => {
                        made.decide(instructions, at, &lanes, u32::MAX / 2);
                        gathered.decide_piece(instructions, at, &lanes, u32::MAX / 2);
                        lanes.len()
                    }
                    1 if left >= bytes.len() => {
                        made.decide(instructions, at, bytes, 100);
                        gathered.decide_piece(instructions, at, bytes, 100);
                        bytes.len()
                    }
                    2 => {
                        made.decide(instructions, at, &bytes[..some], 100);
                        gathered.decide(instructions, at, &bytes[..some], 100);
                        some
                    }
                    _ if left > 0 => {
                        made.decide_all(instructions, at..at + some, some % 2 == 0);
                        gathered.decide_all(instructions, at..at + some, some % 2 == 0);
                        some
                    }
                    _ => 0,
                }
            }
            gathered.finish();
            instructions.streamed();
            let y = &buffer[shift..][..x.len()];
            assert!(
                bytemuck::cast_slice::<T, u8>(y) == bytemuck::cast_slice::<T, u8>(&expected),
                "{shift}"
            );
            let mut beside = buffer[..shift].iter().chain(&buffer[shift + x.len()..]);
            assert!(
                beside.all(|y| bytemuck::bytes_of(y) == bytemuck::bytes_of(&T::zeroed())),
                "{shift}"
            );
        }
    }
    fn check_all(instructions: impl Instructions) {
        let x: Vec<f32> = (0..3000).map(|i| i as f32 + 1.0).collect();
        check(&x, instructions);
        check(&x.iter().map(|&x| bf16::from_f32(x)).collect::<Vec<_>>(), instructions);
    }
    check_all(Portable);
    if let Some(avx512) = Avx512::detect() {
        check_all(avx512);
    }
    if let Some(avx2) = Avx2::detect() {
        check_all(avx2);
    }
}

/// Decisions out of a mask, and none to make.
#[test]
fn given_decisions_equal_the_portable_ones() {
    fn check<T: Element>(x: &[T]) {
        let len = x.len();
        let kept: Vec<u8> = (0..len).map(|i| u8::from(i * i % 7 < 4)).collect();
        let mut bits = vec![0; len.div_ceil(32)];
        for (i, kept) in kept.iter().enumerate() {
            bits[i / 32] |= u32::from(*kept) << (i % 32);
        }
        // Any byte but 0 keeps.
        let bytes: Vec<u8> = kept
            .iter()
            .zip((1..=255).cycle())
            .map(|(kept, any)| kept * any)
            .collect();
        let given = [ByPieces::Bits(&bits), ByPieces::Bytes(&bytes)].map(Source::ByPieces);
        for (which, decisions) in given.into_iter().chain([Source::All]).enumerate() {
            for scale in [1.0 / 0.9, 0.0] {
                let run = |set: Set, streams, shift: usize| {
                    let mut y = vec![x[0]; len + 40];
                    let data = Data::Apart(x, &mut y[shift..][..len]);
                    set.compute(Job {
                        streams,
                        ..scaled(scale, decisions, len, data)
                    });
                    let mut in_place = x.to_vec();
                    set.compute(scaled(scale, decisions, len, Data::InPlace(&mut in_place)));
                    assert_eq!(
                        bytemuck::cast_slice::<T, u8>(&in_place),
                        bytemuck::cast_slice::<T, u8>(&y[shift..][..len]),
                        "{set:?}, {which}, {scale}, {streams}, {shift}"
                    );
                    bytemuck::cast_slice::<T, u8>(&y).to_vec()
                };
                let streamed = SHIFTS.map(|shift| (true, shift));
                for (streams, shift) in [(false, 0), (false, 3)].into_iter().chain(streamed) {
                    let expected = run(Set::Portable, false, shift);
                    let at = |i: usize| &expected[(shift + i) * size_of::<T>()..][..size_of::<T>()];
                    for i in 0..len {
                        let y = if which == 2 || kept[i] == 1 {
                            x[i].scaled(scale)
                        } else {
                            T::zeroed()
                        };
                        assert_eq!(at(i), bytemuck::bytes_of(&y), "{which}, {scale}, element {i}");
                    }
                    for set in Set::all() {
                        assert_eq!(
                            run(set, streams, shift),
                            expected,
                            "{set:?}, {which}, {streams}, {shift}"
                        );
                    }
                }
            }
        }
    }
    for len in [1, 100, 1501] {
        let x: Vec<f32> = (0..len).map(|i| i as f32 - 700.0).collect();
        check(&x);
        check(&x.iter().map(|&x| f16::from_f32(x)).collect::<Vec<_>>());
        check(&x.iter().map(|&x| bf16::from_f32(x)).collect::<Vec<_>>());
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
        let sequence = Sequence::new(number, number.rotate_left(13));
        let expected = numbers.map(|number| block(sequence.seed, sequence.subsequence, number));
        let check = |name: &str, words: [u32; BATCH_WORDS]| {
            assert_eq!(words, bytemuck::cast::<_, [u32; BATCH_WORDS]>(expected), "{name}");
        };
        let mut words = [0; BATCH_WORDS];
        if let Some(avx512) = Avx512::detect() {
            avx512.words_of(&sequence, &numbers, &mut words);
            check("avx512", words);
        }
        if let Some(avx2) = Avx2::detect() {
            avx2.words_of(&sequence, &numbers, &mut words);
            check("avx2", words);
        }
        Portable.words_of(&sequence, &numbers, &mut words);
        check("portable", words);
    }
}

/// Numbers that share their upper word all the way, up to where the lower one ends and beyond, and such that do not.
#[test]
fn walks_go_from_block_to_block() {
    fn check<I: Instructions>(instructions: I) {
        const STEPS: usize = 5;
        let (mut walk, mut words) = (I::Walk::default(), Blocks::default());
        let sequence = Sequence::new(0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210);
        let last = (9 << 32) - 1;
        for (first, stride) in [
            (0, 1),
            (7, 1 << 20),
            (7 << 32, 3),
            (last - (STEPS as u64 - 1) - 31 * 2, 2),
            (last - (STEPS as u64 - 2) - 31 * 2, 2),
            (last - 40, 2),
            (last - 1, 1),
            (5, 1 << 32),
            (5, 1 << 28),
            (u64::MAX - 2, 1),
        ] {
            let mut numbers = core::array::from_fn(|i| stride * i as u64).map(|number| number.wrapping_add(first));
            // The first need not be the least.
            numbers.rotate_left(2);
            instructions.walk(&sequence, &numbers, STEPS, &mut walk);
            for step in 0..STEPS as u64 {
                instructions.step(&sequence, &mut walk, &mut words);
                for (k, number) in numbers.into_iter().enumerate() {
                    let expected = block(sequence.seed, sequence.subsequence, number.wrapping_add(step));
                    assert_eq!(
                        words.0.map(|word| word[k]),
                        expected,
                        "{first:#x}, {stride:#x}, {step}, {k}"
                    );
                }
            }
        }
    }
    check(Portable);
    if let Some(avx512) = Avx512::detect() {
        check(avx512);
    }
    if let Some(avx2) = Avx2::detect() {
        check(avx2);
    }
}

/// Aligned as lines are, and not; as many as 32 elements take.
#[test]
fn streamed_lines_are_the_same_lines() {
    fn check(instructions: impl Instructions) {
        let from: [u8; 128] = core::array::from_fn(|i| i as u8 + 1);
        for len in [64, 128] {
            for start in 0..70 {
                let (mut expected, mut to) = ([0xcau8; 256], [0xcau8; 256]);
                expected[start..start + len].copy_from_slice(&from[..len]);
                instructions.stream_lines(&from[..len], &mut to[start..start + len]);
                instructions.streamed();
                assert_eq!(to, expected, "{len} bytes from {start}");
            }
        }
    }
    check(Portable);
    if let Some(avx512) = Avx512::detect() {
        check(avx512);
    }
    if let Some(avx2) = Avx2::detect() {
        check(avx2);
    }
}

#[test]
fn lines_begin_where_the_address_says_so() {
    let y = [0.0f32; 64];
    let at = before_line(&y);
    assert!(at < 16 && before_line(&y[at..]) == 0 && before_line(&y[at + 1..]) == 15);
    assert_eq!(before_line(&y[at + 1..at + 3]), 2);
}

#[test]
fn long_results_of_cheap_draws_go_past_the_caches() {
    let Some(cache) = third_level_cache() else {
        return;
    };
    assert!(cache >= 1 << 20);
    // No more of it than a program has of one that many cores share.
    let most = 48 << 20;
    let (of_two_bytes, of_four_bytes) = (most.min(cache + cache / 2).div_ceil(2), most.min(cache).div_ceil(4));
    for (random_bits, of_f32) in [
        (RandomBits::B32, draws_fast()),
        (RandomBits::B16, draws_fast()),
        (RandomBits::B8, true),
    ] {
        assert_eq!(streams::<f32>(of_four_bytes, random_bits, None), of_f32);
        assert!(streams::<bf16>(of_two_bytes, random_bits, None));
        assert!(!streams::<bf16>(of_two_bytes - 1, random_bits, None));
        assert!(!streams::<f32>(of_four_bytes - 1, random_bits, None));
        let map = |shape: &[u64], strides: &[u64]| IndexMap::new(shape, strides).expect("a map");
        let rows = cache as u64;
        for shared in [4096, 100] {
            let map = map(&[rows, shared], &[1, 0]);
            assert!(streams::<f32>(of_four_bytes, random_bits, Some(&map)));
            assert!(streams::<bf16>(of_two_bytes, random_bits, Some(&map)));
        }
        for (stride, goes_by_runs) in [(1, true), (2, false)] {
            let map = map(&[rows, 100], &[1 << 20, stride]);
            assert_eq!(
                streams::<f32>(of_four_bytes, random_bits, Some(&map)),
                of_f32 && goes_by_runs
            );
            assert_eq!(streams::<bf16>(of_two_bytes, random_bits, Some(&map)), goes_by_runs);
        }
        let whole = map(&[rows, 8], &[8, 1]);
        assert_eq!(streams::<f32>(of_four_bytes, random_bits, Some(&whole)), of_f32);
    }
}

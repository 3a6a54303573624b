//! Needs nothing: vectors -> reference -> CPU path.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail loudly")]

mod common;

use common::backend::{Cpu, Reference};
use common::{Bits, checks, painted, vectors};
use half::{bf16, f16};
use wgpu_dropout::{Dropout, Element, Probability, RandomBits, ScaleMode, cpu, philox4x32_10, reference};

#[test]
fn philox_vectors() {
    let cases = vectors::philox();
    assert_eq!(cases.len(), 35);
    for case in cases {
        assert_eq!(philox4x32_10(case.counter, case.key), case.output, "{case:08x?}");
    }
}

#[test]
fn philox_equals_an_independent_implementation() {
    let mut picks = rand_philox::Philox::new([1, 2], 3);
    let mut word = || picks.next_u32();
    let edges = [0, 1, 0xffff, 0x1_0000, 0x1_0001, 0x7fff_ffff, 0x8000_0000, u32::MAX];
    for _ in 0..200 {
        for &edge in &edges {
            let counter = [edge, word(), edge.rotate_left(word() % 32), word()];
            let key = [word(), edge];
            let mut other = rand_philox::Philox::new(
                key,
                counter
                    .iter()
                    .rev()
                    .fold(0u128, |all, &word| all << 32 | u128::from(word)),
            );
            let expected = [0; 4].map(|_: u32| other.next_u32());
            assert_eq!(philox4x32_10(counter, key), expected, "{counter:08x?} {key:08x?}");
        }
    }
}

#[test]
fn masks_equal_an_independent_implementation() {
    for random_bits in RandomBits::ALL {
        for (p, offset) in [(0.1, 0u64), (0.5, 3), (0.9, (1 << 34) - 5), (0.3, u64::MAX - 200)] {
            let dropout = Dropout {
                probability: Probability::new(p, random_bits).unwrap(),
                scale_mode: ScaleMode::Inverted,
                seed: 0xfeed_face_cafe_beef,
                subsequence: 0x8000_0000_0000_0001,
                element_offset: offset,
            };
            let (b, lanes) = (random_bits.bits(), u64::from(random_bits.lanes()));
            let mut witness = rand_philox::Philox::new([0xcafe_beef, 0xfeed_face], 0);
            for i in 0..200 {
                let g = offset + i;
                witness.seek(u128::from(dropout.subsequence) << 64 | u128::from(g / lanes));
                let mut words = [0; 4];
                witness.fill_u32(&mut words);
                let at = (g % lanes) as u32 * b;
                let integer = u64::from(words[at as usize / 32] >> (at % 32)) & ((1u64 << b) - 1);
                let kept = integer < dropout.probability.threshold();
                assert_eq!(reference::keeps(&dropout, i), kept, "{random_bits:?}, p {p}, g {g:#x}");
            }
        }
    }
}

/// Runs a check over the reference and over the CPU path in pools of several sizes.
macro_rules! on_every_path {
    ($($check:ident),*) => {
        $(#[test]
        fn $check() {
            checks::$check(&Reference::default());
            for threads in [1, 2, 7] {
                checks::$check(&Cpu::with_threads(threads));
            }
        })*
    };
}

on_every_path!(
    dropout_vectors,
    inference_vectors,
    digests,
    slice_errors,
    a_stored_mask_decides
);

#[test]
fn mapped_vectors() {
    checks::mapped_vectors(Reference::over);
    for threads in [1, 2, 7] {
        checks::mapped_vectors(|map| Cpu::with_threads(threads).over(map));
    }
}

/// Lengths around lanes, mask words, tiles and parallel tasks.
const LENGTHS: [usize; 17] = [
    0, 1, 3, 4, 5, 15, 16, 17, 31, 32, 33, 1023, 1024, 1025, 65_536, 65_537, 300_001,
];
/// Offsets around blocks, 2^32 blocks at each width, and the end of the sequence.
const OFFSETS: [u64; 8] = [
    0,
    1,
    7,
    15,
    (1 << 32) - 3,
    (1 << 34) - 600,
    (1 << 36) - 70_000,
    u64::MAX - 300_000,
];

fn compare_with_reference<T: Element + Bits>() {
    let longest = *LENGTHS.iter().max().unwrap();
    let painted = painted::<T>(longest);
    for random_bits in RandomBits::ALL {
        for (n, &offset) in OFFSETS.iter().enumerate() {
            let p = [0.1, 0.0, 1.0, 0.5, 0.999, 1e-9, 0.25, 0.7][n];
            let dropout = Dropout {
                probability: Probability::new(p, random_bits).unwrap(),
                scale_mode: if n % 3 == 1 {
                    ScaleMode::Classic
                } else {
                    ScaleMode::Inverted
                },
                seed: 0x0dd_ba11,
                subsequence: n as u64,
                element_offset: offset,
            };
            let mut whole = vec![T::from_bits32(0); longest];
            reference::forward(&dropout, &painted, &mut whole).unwrap();
            for length in LENGTHS {
                let mut y = vec![T::from_bits32(0xca); length];
                cpu::forward(&dropout, &painted[..length], &mut y).unwrap();
                T::assert_same(&y, &whole[..length], &format!("{dropout:?}, {length} elements"));
            }
        }
    }
}

#[test]
fn cpu_equals_reference_f32() {
    compare_with_reference::<f32>();
}

#[test]
fn cpu_equals_reference_f16() {
    compare_with_reference::<f16>();
}

#[test]
fn cpu_equals_reference_bf16() {
    compare_with_reference::<bf16>();
}

/// Tensors that several threads have parts of, with the masks that forward stored.
#[test]
fn stored_masks_decide_long_tensors() {
    let x = painted::<f32>(300_001);
    let dropout = Dropout::new(0.3, 9).unwrap().with_element_offset((1 << 34) - 600);
    let (mut y, mut bits, mut bytes) = (vec![0.0; x.len()], vec![0; x.len().div_ceil(32)], vec![0; x.len()]);
    let mut expected = vec![0.0; x.len()];
    reference::forward(&dropout, &x, &mut expected).unwrap();
    cpu::forward_with_bit_mask(&dropout, &x, &mut y, &mut bits).unwrap();
    f32::assert_same(&y, &expected, "storing bits");
    cpu::forward_with_byte_mask(&dropout, &x, &mut y, &mut bytes).unwrap();
    f32::assert_same(&y, &expected, "storing bytes");
    y.fill(7.0);
    cpu::backward_from_bit_mask(&dropout, &x, &bits, &mut y).unwrap();
    f32::assert_same(&y, &expected, "from bits");
    y.fill(7.0);
    cpu::backward_from_byte_mask(&dropout, &x, &bytes, &mut y).unwrap();
    f32::assert_same(&y, &expected, "from bytes");
    y.copy_from_slice(&x);
    cpu::backward_from_bit_mask_in_place(&dropout, &mut y, &bits).unwrap();
    f32::assert_same(&y, &expected, "in place");
}

#[test]
fn pieces_equal_the_whole() {
    let x = painted::<f32>(10_000);
    let dropout = Dropout::new(0.3, 9).unwrap().with_element_offset((1 << 34) - 5000);
    let mut whole = vec![0.0; x.len()];
    cpu::forward(&dropout, &x, &mut whole).unwrap();
    for piece in [1, 3, 16, 33, 1000, 4097] {
        let mut pieces = vec![0.0; x.len()];
        for (i, (x, y)) in x.chunks(piece).zip(pieces.chunks_mut(piece)).enumerate() {
            let offset = dropout.element_offset + (i * piece) as u64;
            cpu::forward(&dropout.with_element_offset(offset), x, y).unwrap();
        }
        f32::assert_same(&pieces, &whole, &format!("pieces of {piece}"));
    }
}

/// K(x) of all 2^16 patterns on the CPU path, at several scales.
fn every_pattern<T: Element + Bits>() {
    let x: Vec<T> = (0..1u32 << 16).map(T::from_bits32).collect();
    for p in [0.0, 0.1, 0.5, 1.0 - 1e-12, 1.0] {
        for scale_mode in [ScaleMode::Inverted, ScaleMode::Classic] {
            let dropout = Dropout::new(p, 1).unwrap().with_scale_mode(scale_mode);
            let (mut a, mut b) = (x.clone(), x.clone());
            reference::inference_in_place(&dropout, &mut a).unwrap();
            cpu::inference_in_place(&dropout, &mut b).unwrap();
            T::assert_same(&b, &a, &format!("inference, {dropout:?}"));
            let keep = vec![u32::MAX; x.len() / 32];
            let (mut a, mut b) = (x.clone(), x.clone());
            reference::backward_from_bit_mask_in_place(&dropout, &mut a, &keep).unwrap();
            cpu::backward_from_bit_mask_in_place(&dropout, &mut b, &keep).unwrap();
            T::assert_same(&b, &a, &format!("training, {dropout:?}"));
        }
    }
}

#[test]
fn every_f16_pattern() {
    every_pattern::<f16>();
}

#[test]
fn every_bf16_pattern() {
    every_pattern::<bf16>();
}

#[test]
fn neighbours_draw_their_own_words() {
    // Masks that repeat within a block, or between neighbouring blocks, have gone unnoticed elsewhere
    // because kernel and reference shared the mistake; so count how often neighbours agree.
    let dropout = Dropout::new(0.5, 77).unwrap();
    for random_bits in RandomBits::ALL {
        let dropout = dropout.with_probability(Probability::new(0.5, random_bits).unwrap());
        let mut mask = vec![0u8; 1 << 20];
        cpu::byte_mask(&dropout, &mut mask).unwrap();
        for distance in [1, 2, 3, 4, 8, 16, 32, 64, 256, 1024, 65_536] {
            let pairs = mask.len() - distance;
            let same = (0..pairs).filter(|&i| mask[i] == mask[i + distance]).count();
            // Binomial(n, 1/2): six standard deviations are 3 sqrt(n). The seed is fixed.
            let excess = same as f64 - pairs as f64 / 2.0;
            assert!(
                excess.abs() < 3.0 * (pairs as f64).sqrt(),
                "{random_bits:?}: {same} of {pairs} at {distance}"
            );
        }
    }
}

#[test]
fn new_vectors_hold_what_slices_get() {
    use wgpu_dropout::{Dropout, cpu};
    let dropout = Dropout::new(0.3, 9).unwrap().with_element_offset(5);
    // The last is longer than a huge page.
    for elements in [0, 1, 1000, (2 << 20) / 4 * 3 + 1] {
        let x: Vec<f32> = (0..elements).map(|i| i as f32 - 7.5).collect();
        let mut y = vec![1.0; elements];
        cpu::forward(&dropout, &x, &mut y).unwrap();
        assert!(cpu::forward_to_vec(&dropout, &x).unwrap() == y);
        assert!(cpu::backward_to_vec(&dropout, &x).unwrap() == y);
    }
    let past = dropout.with_element_offset(u64::MAX);
    assert!(cpu::forward_to_vec(&past, &[1.0f32; 2]).is_err());
}

/// The CPU path where others already share out the cores: in tasks of a pool of the caller's, in futures, in both.
#[test]
fn inside_pools_and_futures_of_the_callers() {
    async fn step(dropout: Dropout, x: &[f32]) -> Vec<f32> {
        let mut y = cpu::forward_to_vec(&dropout, x).unwrap();
        // Another task may run between the two, on this thread or another.
        std::future::ready(()).await;
        cpu::backward_in_place(&dropout, &mut y).unwrap();
        y
    }

    // Longer than what one task of the CPU path takes.
    let x = painted::<f32>(300_007);
    let dropout = |n| Dropout::new(0.3, 7).unwrap().with_subsequence(n);
    let expected: Vec<Vec<f32>> = (0..6)
        .map(|n| {
            let mut y = x.clone();
            reference::forward_in_place(&dropout(n), &mut y).unwrap();
            reference::backward_in_place(&dropout(n), &mut y).unwrap();
            y
        })
        .collect();
    let check = &|n: u64| {
        let y = pollster::block_on(step(dropout(n), &x));
        f32::assert_same(&y, &expected[n as usize], &format!("subsequence {n}"));
    };
    for threads in [1, 2, 5] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.scope(|scope| {
            for n in 0..6 {
                scope.spawn(move |_| check(n));
            }
        });
    }
    std::thread::scope(|scope| {
        for n in 0..6 {
            scope.spawn(move || check(n));
        }
    });
}

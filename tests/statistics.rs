//! Statistics of masks drawn on a GPU: rates, independence, runs. Everything is seeded, so a test gives the same answer
//! every time; the bounds are what a fair mask passes with near certainty.

#![allow(clippy::unwrap_used, reason = "tests fail loudly")]

use wgpu_dropout::gpu::blocking::Context;
use wgpu_dropout::{Dropout, Probability, RandomBits, ScaleMode, bit_mask_words};

/// Standard deviations that a fair mask stays within: beyond them is one in 1.7 million.
const Z: f64 = 5.0;

fn dropout(p: f64, random_bits: RandomBits, seed: u64) -> Dropout {
    Dropout::new(p, seed)
        .unwrap()
        .with_probability(Probability::new(p, random_bits).unwrap())
}

fn mask(context: &Context, dropout: &Dropout, elements: u64) -> Vec<u32> {
    let mut mask = vec![0; bit_mask_words(elements) as usize];
    context.bit_mask(dropout, elements as usize, &mut mask).unwrap();
    mask
}

fn ones(words: impl IntoIterator<Item = u32>) -> u64 {
    words.into_iter().map(|word| u64::from(word.count_ones())).sum()
}

/// How many standard deviations a count of `trials` is off what it should be.
fn deviations(count: u64, trials: u64, probability: f64) -> f64 {
    let trials = trials as f64;
    (count as f64 - trials * probability) / (trials * probability * (1.0 - probability)).sqrt()
}

fn assert_fair(count: u64, trials: u64, probability: f64, what: &str) {
    let z = deviations(count, trials, probability);
    assert!(
        z.abs() < Z,
        "{what}: {count} of {trials} is {z:.2} standard deviations off {probability}"
    );
}

/// What is kept on average: the threshold's share of all integers, which is 1 - p only as nearly as they are many.
fn keep_probability(dropout: &Dropout) -> f64 {
    let integers = (1u64 << dropout.probability.random_bits().bits()) as f64;
    dropout.probability.threshold() as f64 / integers
}

#[test]
fn rates_over_a_thousand_million_elements() {
    let context = Context::new().unwrap();
    let piece = 1 << 27;
    for p in [0.1, 0.5, 0.9, 1e-6] {
        let dropout = dropout(p, RandomBits::B32, 0x5eed);
        let mut kept = 0;
        for n in 0..8 {
            kept += ones(mask(&context, &dropout.with_element_offset(n * piece), piece));
        }
        assert_fair(kept, 8 * piece, keep_probability(&dropout), &format!("p {p}"));
    }
}

/// With few random bits the rate is the quantised one, which such a sample tells from p.
#[test]
fn rates_of_few_random_bits_are_the_quantised_ones() {
    let context = Context::new().unwrap();
    let elements = 1 << 27;
    for (random_bits, p) in [(RandomBits::B16, 0.10007), (RandomBits::B8, 0.1), (RandomBits::B8, 0.3)] {
        let dropout = dropout(p, random_bits, 77);
        let kept = ones(mask(&context, &dropout, elements));
        let quantised = keep_probability(&dropout);
        assert_fair(kept, elements, quantised, &format!("{random_bits:?}, p {p}"));
        if random_bits == RandomBits::B8 {
            assert!(
                deviations(kept, elements, 1.0 - p).abs() > Z,
                "{p} and {quantised} are told apart"
            );
        }
    }
}

/// The scale is that of the quantised rate, so that the mean stays exact: 1 / (1 - p), which other kernels take, is off
/// by what the same sample shows.
#[test]
fn the_mean_is_exact_with_8_random_bits() {
    let context = Context::new().unwrap();
    let elements = 1u64 << 26;
    for p in [0.05, 0.1, 0.15, 0.3] {
        let dropout = dropout(p, RandomBits::B8, 4242);
        let kept = ones(mask(&context, &dropout, elements));
        let keep = keep_probability(&dropout);
        let deviation = ((1.0 - keep) / keep / elements as f64).sqrt();
        let mean_with = |scale: f64| kept as f64 / elements as f64 * scale;
        let scale = f64::from(dropout.probability.training_scale(ScaleMode::Inverted));
        assert!(
            (mean_with(scale) - 1.0).abs() < Z * deviation,
            "p {p}: mean {}",
            mean_with(scale)
        );
        assert!(
            (mean_with(1.0 / (1.0 - p)) - 1.0).abs() > Z * deviation,
            "p {p} is no multiple of 1/256"
        );
    }
}

/// Masks of half of the elements agree with each other, and with themselves moved along, in half of the places: across
/// lanes, blocks, rows, subsequences, and seeds that differ in one bit.
#[test]
fn neighbours_of_every_kind_are_independent() {
    let context = Context::new().unwrap();
    let elements = 1u64 << 22;
    for random_bits in RandomBits::ALL {
        let base = dropout(0.5, random_bits, 0x0123_4567_89ab_cdef).with_element_offset((1 << 36) - (1 << 21));
        let drawn = mask(&context, &base, elements);
        let agree = |other: Dropout, what: &str| {
            let other = mask(&context, &other, elements);
            let same = ones(drawn.iter().zip(&other).map(|(a, b)| !(a ^ b)));
            assert_fair(same, elements, 0.5, &format!("{random_bits:?}, {what}"));
        };
        for step in [
            1,
            2,
            3,
            4,
            5,
            7,
            8,
            12,
            16,
            31,
            32,
            64,
            255,
            256,
            1024,
            4096,
            1 << 16,
            1 << 20,
        ] {
            agree(
                base.with_element_offset(base.element_offset + step),
                &format!("{step} on"),
            );
        }
        for bit in 0..64 {
            agree(base.with_seed(base.seed ^ 1 << bit), &format!("seed's bit {bit}"));
            agree(base.with_subsequence(1 << bit), &format!("subsequence's bit {bit}"));
        }
        agree(base.with_seed(base.seed + 1), "next seed");
        agree(base.with_subsequence(u64::MAX), "subsequence before");
    }
}

/// Every pattern of a quad, of a tile's quads, and every length of a run comes as often as it should: words that are used
/// twice, as in some kernels, double some of them.
#[test]
fn patterns_and_runs_are_as_frequent_as_they_should() {
    let context = Context::new().unwrap();
    let elements = 1u64 << 26;
    for random_bits in RandomBits::ALL {
        let drawn = mask(&context, &dropout(0.5, random_bits, 99), elements);
        let mut patterns = [0u64; 256];
        let mut equal_quads = 0;
        for byte in drawn.iter().flat_map(|word| word.to_le_bytes()) {
            patterns[usize::from(byte)] += 1;
            equal_quads += u64::from(byte >> 4 == byte & 15);
        }
        let expected = (elements / 8) as f64 / 256.0;
        let chi_squared: f64 = patterns
            .iter()
            .map(|&count| (count as f64 - expected).powi(2) / expected)
            .sum();
        // 255 degrees of freedom: mean 255, standard deviation 22.6.
        assert!(
            (255.0 - chi_squared).abs() < 5.0 * 22.6,
            "{random_bits:?}: {chi_squared}"
        );
        assert_fair(equal_quads, elements / 8, 1.0 / 16.0, "equal neighbouring quads");

        let bits = || drawn.iter().flat_map(|word| (0..32).map(move |bit| word >> bit & 1));
        let mut runs = [0u64; 64];
        let (mut last, mut length) = (2, 0usize);
        for bit in bits() {
            if bit == last {
                length += 1;
                continue;
            }
            if length > 0 {
                runs[length.min(63)] += 1;
            }
            (last, length) = (bit, 1);
        }
        let total: u64 = runs.iter().sum();
        assert_fair(total, elements, 0.5, "runs");
        for (length, &count) in runs.iter().enumerate().skip(1).take(16) {
            let probability = 0.5f64.powi(length as i32);
            assert_fair(count, total, probability, &format!("{random_bits:?}, runs of {length}"));
        }
        // One run in 2^25 is that long.
        assert_eq!(runs[45..].iter().sum::<u64>(), 0);
    }
}

//! A seed for each row or sample: rows on their own -> reference -> CPU path.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail loudly")]

mod common;

use common::{Bits, painted};
use wgpu_dropout::{
    Draw, Dropout, IndexMap, Neighbours, Probability, RandomBits, SliceError, bit_mask_words, cpu, reference,
};

fn calls() -> impl Iterator<Item = Dropout> {
    RandomBits::ALL.into_iter().map(|random_bits| {
        Dropout::new(0.4, 99)
            .unwrap()
            .with_probability(Probability::new(0.4, random_bits).unwrap())
            .with_element_offset((1 << 34) - 501)
    })
}

const SEEDS: [u64; 5] = [0, 1 << 32, u64::MAX, 7, 7];

/// A row's part of the whole is that of a call with its seed.
#[test]
fn rows_are_those_of_calls_with_their_seeds() {
    for columns in [1usize, 31, 64, 1000, 20_011] {
        let x = painted::<f32>(SEEDS.len() * columns);
        for dropout in calls() {
            let draw = Draw::from(&dropout).with_seeds(&SEEDS, columns as u64);
            let mut expected = vec![0.0f32; x.len()];
            for (row, &seed) in SEEDS.iter().enumerate() {
                let range = row * columns..(row + 1) * columns;
                let offset = dropout.element_offset + (row * columns) as u64;
                let call = dropout.with_seed(seed).with_element_offset(offset);
                reference::forward(&call, &x[range.clone()], &mut expected[range]).unwrap();
            }
            let mut y = vec![0.0; x.len()];
            reference::forward(draw, &x, &mut y).unwrap();
            f32::assert_same(&y, &expected, &format!("{columns} columns, reference"));
            let mut y = vec![0.0; x.len()];
            let mut mask = vec![0; bit_mask_words(x.len() as u64) as usize];
            cpu::forward_with_bit_mask(draw, &x, &mut y, &mut mask).unwrap();
            f32::assert_same(&y, &expected, &format!("{columns} columns, cpu"));
            let mut expected_mask = mask.clone();
            reference::bit_mask(draw, x.len(), &mut expected_mask).unwrap();
            u32::assert_same(&mask, &expected_mask, "mask");
            let mut dx = x.clone();
            cpu::backward_in_place(draw, &mut dx).unwrap();
            f32::assert_same(&dx, &expected, &format!("{columns} columns, backward"));
            let none = Neighbours {
                bias: None,
                residual: Some(&x[..]),
            };
            let (mut y, mut fused) = (vec![0.0; x.len()], vec![0.0; x.len()]);
            reference::forward_fused(draw, &x, none, &mut fused).unwrap();
            cpu::forward_fused(draw, &x, none, &mut y).unwrap();
            f32::assert_same(&y, &fused, "with a residual");
        }
    }
}

/// Over a map that every row goes through alike, a row does not depend on its place in the batch.
#[test]
fn a_row_is_its_seeds_wherever_it_stands() {
    let columns = 300;
    let rows = IndexMap::same_over(&[SEEDS.len() as u64, columns], 0).unwrap();
    let x = painted::<f32>(SEEDS.len() * columns as usize);
    for dropout in calls() {
        let masks = |seeds: &[u64]| {
            let mut mask = vec![0u8; x.len()];
            cpu::byte_mask(dropout.over(&rows).with_seeds(seeds, columns), &mut mask).unwrap();
            let mut expected = mask.clone();
            reference::byte_mask(dropout.over(&rows).with_seeds(seeds, columns), &mut expected).unwrap();
            assert_eq!(mask, expected);
            mask.chunks(columns as usize).map(<[u8]>::to_vec).collect::<Vec<_>>()
        };
        let there = masks(&SEEDS);
        let mut seeds = SEEDS;
        seeds.reverse();
        let mut back = masks(&seeds);
        back.reverse();
        assert_eq!(there, back);
        assert_eq!(there[3], there[4], "the same seed");
        assert_ne!(there[0], there[1], "other seeds");
    }
}

#[test]
fn seeds_of_another_tensor_are_refused() {
    let dropout = Dropout::new(0.5, 1).unwrap();
    let mut y = [9.0f32; 12];
    for (seeds, each) in [
        (&[1, 2, 3][..], 5),
        (&[1, 2, 3], 3),
        (&[], 12),
        (&[1], 0),
        (&[1, 2, 3], u64::MAX),
    ] {
        let draw = Draw::from(&dropout).with_seeds(seeds, each);
        let expected = SliceError::Seeds {
            elements: 12,
            seeds: seeds.len() as u64,
            elements_per_seed: each,
        };
        assert_eq!(cpu::forward(draw, &[1.0; 12], &mut y).unwrap_err(), expected);
        assert_eq!(reference::forward(draw, &[1.0; 12], &mut y).unwrap_err(), expected);
    }
    let message = "12 elements, but 3 seeds of 5 elements each; the two must multiply to the tensor's elements";
    let draw = Draw::from(&dropout).with_seeds(&[1, 2, 3], 5);
    assert_eq!(cpu::forward(draw, &[1.0; 12], &mut y).unwrap_err().to_string(), message);
    f32::assert_same(&y, &[9.0; 12], "untouched");
    // Nothing at all needs no seeds; inference draws nothing.
    cpu::forward::<f32>(Draw::from(&dropout).with_seeds(&[], 4), &[], &mut []).unwrap();
    cpu::inference(draw, &[1.0; 12], &mut y).unwrap();
}

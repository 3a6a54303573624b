//! Bias, dropout and residual: vectors -> reference -> CPU path.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail loudly")]

mod common;

use common::backend::{Cpu, Reference};
use common::{Bits, checks, ordinary, painted};
use half::{bf16, f16};
use wgpu_dropout::{Dropout, Element, IndexMap, Neighbours, Probability, RandomBits, SliceError, cpu, reference};

#[test]
fn the_vectors_hold() {
    checks::fused_vectors(&Reference::default());
    checks::fused_vectors(&Cpu::with_threads(2));
}

/// Rows from one element to more than a parallel task, over no map and one, every neighbourhood.
fn every_shape<T: Element + Bits>() {
    for (rows, columns) in [
        (1, 1),
        (700, 1),
        (200, 3),
        (33, 31),
        (40, 32),
        (40, 33),
        (31, 62),
        (30, 63),
        (5, 512),
        (3, 1000),
        (2, 70_001),
        (140_003, 1),
        (300, 513),
    ] {
        let elements = rows * columns;
        let painted = painted::<T>(3 * elements);
        let (x, rest) = painted.split_at(elements);
        let (residual, rest) = rest.split_at(elements);
        let bias = &rest[..columns];
        let map = IndexMap::drop_path(&[rows as u64, columns as u64]).unwrap();
        for random_bits in RandomBits::ALL {
            let dropout = Dropout::new(0.3, 6)
                .unwrap()
                .with_probability(Probability::new(0.3, random_bits).unwrap())
                .with_element_offset((1 << 34) - 501);
            for draw in [(&dropout).into(), dropout.over(&map)] {
                for (bias, residual) in [
                    (Some(bias), Some(residual)),
                    (Some(bias), None),
                    (None, Some(residual)),
                    (None, None),
                ] {
                    let neighbours = Neighbours { bias, residual };
                    let (mut y, mut expected) = (x.to_vec(), x.to_vec());
                    reference::forward_fused(draw, x, neighbours, &mut expected).unwrap();
                    cpu::forward_fused(draw, x, neighbours, &mut y).unwrap();
                    let shape = format!(
                        "{rows} x {columns}, {random_bits:?}, {} {}",
                        bias.is_some(),
                        residual.is_some()
                    );
                    T::assert_same(&y, &expected, &shape);
                }
            }
        }
    }
}

#[test]
fn every_shape_and_neighbourhood_equals_the_reference() {
    every_shape::<f32>();
    every_shape::<f16>();
    every_shape::<bf16>();
}

fn bias_gradients<T: Element + Bits>() {
    // Around sums of 64 rows, of 64 such sums, and of 64 of those.
    for (rows, columns) in [
        (1, 5),
        (2, 1),
        (63, 7),
        (64, 7),
        (65, 7),
        (128, 3),
        (4096, 3),
        (4097, 3),
        (40_000, 2),
        (262_145, 1),
        (130, 32),
        (70, 101),
    ] {
        for dx in [ordinary::<T>(rows * columns), painted(rows * columns)] {
            let (mut expected, mut actual) = (dx[..columns].to_vec(), dx[..columns].to_vec());
            reference::bias_gradient(&dx, &mut expected).unwrap();
            cpu::bias_gradient(&dx, &mut actual).unwrap();
            T::assert_same(&actual, &expected, &format!("{rows} x {columns}"));
        }
    }
}

#[test]
fn bias_gradients_are_added_in_their_order() {
    bias_gradients::<f32>();
    bias_gradients::<f16>();
    bias_gradients::<bf16>();

    // The order itself: within 64 rows the small ones are lost beside 2^24, after them they are not.
    let column = |rows: usize| {
        (0..rows)
            .map(|row| if row == 0 { 16_777_216.0 } else { 1.0f32 })
            .collect::<Vec<_>>()
    };
    let sum = |rows| {
        let mut dbias = [7.0f32];
        reference::bias_gradient(&column(rows), &mut dbias).unwrap();
        dbias[0].to_bits()
    };
    assert_eq!(sum(64), 16_777_216.0f32.to_bits());
    assert_eq!(sum(128), 16_777_280.0f32.to_bits());
    // 64 sums of 64 rows, 63 of which are not lost, and 65 likewise.
    assert_eq!(sum(4096), 16_781_248.0f32.to_bits());
    assert_eq!(sum(4097), 16_781_248.0f32.to_bits()); // 1 at a second level is
    assert_eq!(sum(4096 + 64), 16_781_312.0f32.to_bits());
    // Nothing to add gives +0; one row is itself, a negative zero too.
    let mut dbias = [7.0f32; 2];
    cpu::bias_gradient(&[], &mut dbias).unwrap();
    f32::assert_same(&dbias, &[0.0, 0.0], "no rows");
    cpu::bias_gradient(&[-0.0, 3.0], &mut dbias).unwrap();
    f32::assert_same(&dbias, &[-0.0, 3.0], "one row");
}

#[test]
fn no_rows_of_no_columns() {
    let nothing = Neighbours {
        bias: Some(&[0.0f32; 0][..]),
        residual: Some(&[]),
    };
    cpu::forward_fused(&Dropout::new(0.5, 1).unwrap(), &[], nothing, &mut []).unwrap();
}

#[test]
fn wrong_lengths_write_nothing() {
    let dropout = Dropout::new(0.5, 1).unwrap();
    let (x, bias) = ([1.0f32; 7], [1.0f32; 3]);
    let mut y = [9.0f32; 7];
    let neighbours = Neighbours {
        bias: Some(&bias[..]),
        residual: None,
    };
    let error = cpu::forward_fused(&dropout, &x, neighbours, &mut y).unwrap_err();
    assert_eq!(
        error,
        SliceError::Rows {
            elements: 7,
            columns: 3
        }
    );
    let message = "7 elements are no whole rows of 3, the bias' length; give a bias as long as a row";
    assert_eq!(error.to_string(), message);
    let neighbours = Neighbours {
        bias: None,
        residual: Some(&bias[..]),
    };
    let error = reference::forward_fused(&dropout, &x, neighbours, &mut y).unwrap_err();
    assert!(matches!(error, SliceError::Length { name: "residual", .. }), "{error}");
    let far = dropout.with_element_offset(u64::MAX - 5);
    let none = Neighbours {
        bias: None,
        residual: None,
    };
    let error = cpu::forward_fused(&far, &x, none, &mut y).unwrap_err();
    assert!(matches!(error, SliceError::Offset(_)), "{error}");
    f32::assert_same(&y, &[9.0; 7], "untouched");
    let error = cpu::bias_gradient(&x, &mut [0.0; 3]).unwrap_err();
    assert_eq!(
        error,
        SliceError::Rows {
            elements: 7,
            columns: 3
        }
    );
    assert!(cpu::bias_gradient(&x, &mut []).is_err());
    // Nothing at all.
    cpu::forward_fused::<f32>(&dropout, &[], none, &mut []).unwrap();
}

//! Index maps on the reference and the CPU path: what shards, layouts and noise shapes must have in common.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail loudly")]
#![allow(clippy::float_cmp, reason = "equality is on bits")]

mod common;

use common::{Bits as _, painted};
use wgpu_dropout::rand_core::Rng as _;
use wgpu_dropout::{
    Dropout, IndexMap, Neighbours, Philox4x32, Probability, RandomBits, SliceError, bit_mask_words, cpu, reference,
};

const SHAPE: [u64; 3] = [5, 12, 70];

fn dropout(random_bits: RandomBits) -> Dropout {
    Dropout::new(0.4, 77)
        .unwrap()
        .with_probability(Probability::new(0.4, random_bits).unwrap())
        // Blocks pass 2^32 within the tensor at 32 bits.
        .with_element_offset((1 << 34) - 2001)
}

fn elements(map: &IndexMap) -> usize {
    usize::try_from(map.elements()).unwrap()
}

/// Reference and CPU path, which must agree; what they say.
fn forward(dropout: &Dropout, map: &IndexMap, x: &[f32]) -> Vec<f32> {
    let (mut y, mut z) = (vec![7.0; x.len()], vec![8.0; x.len()]);
    reference::forward(dropout.over(map), x, &mut y).unwrap();
    cpu::forward(dropout.over(map), x, &mut z).unwrap();
    f32::assert_same(&z, &y, &format!("{dropout:?} over {map:?}"));

    let mut in_place = x.to_vec();
    cpu::backward_in_place(dropout.over(map), &mut in_place).unwrap();
    f32::assert_same(&in_place, &y, "backward in place");
    let words = usize::try_from(bit_mask_words(x.len() as u64)).unwrap();
    let (mut bits, mut expected) = (vec![7; words], vec![8; words]);
    cpu::forward_with_bit_mask(dropout.over(map), x, &mut z, &mut bits).unwrap();
    reference::bit_mask(dropout.over(map), x.len(), &mut expected).unwrap();
    assert_eq!(bits, expected);
    f32::assert_same(&z, &y, "with a bit mask");
    let (mut bytes, mut expected) = (vec![7; x.len()], vec![8; x.len()]);
    cpu::byte_mask(dropout.over(map), &mut bytes).unwrap();
    reference::byte_mask(dropout.over(map), &mut expected).unwrap();
    assert_eq!(bytes, expected);
    let neighbours = Neighbours {
        bias: None,
        residual: Some(x),
    };
    let mut fused = vec![7.0; x.len()];
    reference::forward_fused(dropout.over(map), x, neighbours, &mut fused).unwrap();
    cpu::forward_fused(dropout.over(map), x, neighbours, &mut z).unwrap();
    f32::assert_same(&z, &fused, "with a residual");
    y
}

/// The part of a row-major tensor in those ranges.
fn part<T: Copy>(x: &[T], shape: [u64; 3], ranges: &[core::ops::Range<u64>; 3]) -> Vec<T> {
    let mut part = Vec::new();
    for i in ranges[0].clone() {
        for j in ranges[1].clone() {
            for k in ranges[2].clone() {
                part.push(x[usize::try_from((i * shape[1] + j) * shape[2] + k).unwrap()]);
            }
        }
    }
    part
}

#[test]
fn shards_together_are_the_whole() {
    let [a, b, c] = SHAPE;
    let cuts = [
        // Along each dimension, in uneven parts.
        vec![[0..2, 0..b, 0..c], [2..a, 0..b, 0..c]],
        vec![[0..a, 0..5, 0..c], [0..a, 5..6, 0..c], [0..a, 6..b, 0..c]],
        vec![[0..a, 0..b, 0..33], [0..a, 0..b, 33..34], [0..a, 0..b, 34..c]],
        // Along two at once.
        vec![
            [0..a, 0..7, 0..9],
            [0..a, 0..7, 9..c],
            [0..a, 7..b, 0..9],
            [0..a, 7..b, 9..c],
        ],
        vec![
            [0..1, 0..b, 0..68],
            [0..1, 0..b, 68..c],
            [1..a, 0..b, 0..68],
            [1..a, 0..b, 68..c],
        ],
    ];
    let whole = IndexMap::plain(&SHAPE).unwrap();
    let x = painted::<f32>(elements(&whole));
    for random_bits in RandomBits::ALL {
        let dropout = dropout(random_bits);
        let expected = forward(&dropout, &whole, &x);
        let mut plain = vec![0.0; x.len()];
        cpu::forward(&dropout, &x, &mut plain).unwrap();
        f32::assert_same(&plain, &expected, "a plain map is none");
        for shards in &cuts {
            let mut covered = 0;
            for ranges in shards {
                let map = whole.shard(ranges).unwrap();
                let y = forward(&dropout, &map, &part(&x, SHAPE, ranges));
                f32::assert_same(&y, &part(&expected, SHAPE, ranges), &format!("{ranges:?}"));
                covered += y.len();
            }
            assert_eq!(covered, x.len());
        }
        // A shard of a shard.
        let shard = whole.shard(&[1..4, 2..11, 3..60]).unwrap();
        let inner = shard.shard(&[1..3, 0..4, 10..57]).unwrap();
        assert_eq!(inner, whole.shard(&[2..4, 2..6, 13..60]).unwrap());
    }
}

#[test]
fn the_mask_is_the_logical_elements() {
    let whole = IndexMap::plain(&SHAPE).unwrap();
    let x = painted::<f32>(elements(&whole));
    for random_bits in RandomBits::ALL {
        let dropout = dropout(random_bits);
        let expected = forward(&dropout, &whole, &x);
        for order in [[0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let stored = |x: &[f32]| {
                let shape = order.map(|n| SHAPE[n]);
                let mut stored = Vec::new();
                for i in 0..shape[0] {
                    for j in 0..shape[1] {
                        for k in 0..shape[2] {
                            let mut logical = [0; 3];
                            for (n, index) in order.into_iter().zip([i, j, k]) {
                                logical[n] = index;
                            }
                            let [a, b, c] = logical;
                            stored.push(x[usize::try_from((a * SHAPE[1] + b) * SHAPE[2] + c).unwrap()]);
                        }
                    }
                }
                stored
            };
            let y = forward(&dropout, &whole.permuted(&order).unwrap(), &stored(&x));
            f32::assert_same(&y, &stored(&expected), &format!("{order:?}"));
        }
    }
}

#[test]
fn noise_shapes_are_broadcast() {
    let ones = |map: &IndexMap| vec![1.0f32; elements(map)];
    for random_bits in RandomBits::ALL {
        let dropout = dropout(random_bits);
        for shared in 0..8u64 {
            // Which dimensions share, by the bits of a number.
            let noise = [0, 1, 2].map(|n| if shared >> n & 1 == 1 { 1 } else { SHAPE[n] });
            let map = IndexMap::noise_shape(&SHAPE, &noise).unwrap();
            let y = forward(&dropout, &map, &ones(&map));
            // The mask in its own shape, broadcast here.
            let own = IndexMap::plain(&noise).unwrap();
            let mut mask = vec![0.0; elements(&own)];
            reference::forward(&dropout, &ones(&own), &mut mask).unwrap();
            let mut i = 0;
            for a in 0..SHAPE[0] {
                for b in 0..SHAPE[1] {
                    for c in 0..SHAPE[2] {
                        let at = ((a % noise[0]) * noise[1] + b % noise[1]) * noise[2] + c % noise[2];
                        assert!(y[i] == mask[usize::try_from(at).unwrap()], "{noise:?} at {a}, {b}, {c}");
                        i += 1;
                    }
                }
            }
        }
    }
}

#[test]
fn long_tensors_on_several_threads() {
    // Runs that are cut by the parallel tasks, of each kind.
    let maps = [
        IndexMap::drop_path(&[3, 100_001]).unwrap(),
        IndexMap::channels(&[7, 40_003, 1]).unwrap(),
        IndexMap::same_over(&[3, 5, 20_011], 1).unwrap(),
        IndexMap::plain(&[2, 150_001]).unwrap().permuted(&[1, 0]).unwrap(),
        IndexMap::plain(&[70_000, 5])
            .unwrap()
            .shard(&[0..70_000, 1..4])
            .unwrap(),
        // Columns in pieces shorter than a task, as long as one, and as long as they come.
        IndexMap::plain(&[300, 700]).unwrap().permuted(&[1, 0]).unwrap(),
        IndexMap::plain(&[5001, 40]).unwrap().permuted(&[1, 0]).unwrap(),
        IndexMap::plain(&[70_000, 20]).unwrap().permuted(&[1, 0]).unwrap(),
    ];
    for map in &maps {
        forward(&dropout(RandomBits::B16), map, &painted(elements(map)));
    }
}

/// Maps of every way in which the CPU path decides, each whole and from within a row on: lengths around those that are
/// decided at a time, columns that start at one lane of their blocks and at many.
#[test]
fn rows_columns_and_neither() {
    let transposed = |shape: &[u64]| {
        let last = shape.len() - 1;
        let order: Vec<_> = (0..last - 1).chain([last, last - 1]).collect();
        IndexMap::plain(shape).unwrap().permuted(&order).unwrap()
    };
    let maps = [
        // Columns: of a multiple of all blocks, of one, of none; more than one batch of them; few; very few.
        transposed(&[2, 64, 96]),
        transposed(&[3, 70, 40]),
        transposed(&[3, 96, 49]),
        transposed(&[2, 33, 150]),
        transposed(&[300, 200]),
        transposed(&[1050, 40]),
        transposed(&[2, 3, 5000]),
        transposed(&[2, 31, 33]),
        transposed(&[40, 2]),
        // Columns in a part of the stream only, and two dimensions further out.
        IndexMap::plain(&[3, 64, 20])
            .unwrap()
            .shard(&[1..3, 0..64, 3..9])
            .unwrap(),
        IndexMap::new(&[3, 2, 50, 40], &[0, 1 << 40, 1, 51]).unwrap(),
        // Neither: strides that no dimension undoes, short rows of each kind, single elements.
        IndexMap::new(&[50, 100], &[1000, 3]).unwrap(),
        IndexMap::new(&[500, 7], &[11, 1]).unwrap(),
        IndexMap::new(&[500, 7], &[11, 3]).unwrap(),
        IndexMap::new(&[700, 5], &[1, 0]).unwrap(),
        IndexMap::new(&[20, 3, 40, 2], &[7, 1 << 50, 0, 5]).unwrap(),
        // Rows, and decisions that rows share.
        IndexMap::new(&[60, 100], &[400, 1]).unwrap(),
        IndexMap::new(&[3, 60, 32], &[1 << 33, 0, 1]).unwrap(),
        IndexMap::new(&[90, 33], &[3, 0]).unwrap(),
    ];
    for random_bits in RandomBits::ALL {
        let dropout = dropout(random_bits);
        for map in &maps {
            let elements = map.elements();
            let window = map.window(37, elements - 37 - 5).unwrap();
            for map in [map, &window] {
                forward(&dropout, map, &painted(self::elements(map)));
            }
        }
        let alike = [0.0, 1.0].map(|p| Probability::new(p, random_bits).unwrap());
        for (probability, map) in alike.iter().flat_map(|p| maps.iter().map(move |map| (p, map))) {
            forward(&dropout.with_probability(*probability), map, &painted(elements(map)));
        }
    }
}

/// Shards of tensors of any shape, in any order of storage, from anywhere in them on.
#[test]
fn any_shape_in_any_order() {
    let mut random = Philox4x32::new(2026, 11);
    let mut below = |end: u64| u64::from(random.next_u32()) % end;
    for _ in 0..400 {
        let shape: Vec<_> = (0..2 + below(3))
            .map(|_| {
                let longest = [3, 9, 70, 130][below(4) as usize];
                1 + below(longest)
            })
            .collect();
        if !(60..40_000).contains(&shape.iter().product::<u64>()) {
            continue;
        }
        let ranges: Vec<_> = shape
            .iter()
            .map(|&length| {
                let start = if below(3) == 0 { below(length) } else { 0 };
                start..start + 1 + below(length - start)
            })
            .collect();
        let mut order: Vec<_> = (0..shape.len()).collect();
        for n in (1..order.len()).rev() {
            order.swap(n, below(n as u64 + 1) as usize);
        }
        let noise: Vec<_> = shape
            .iter()
            .map(|&length| if below(5) == 0 { 1 } else { length })
            .collect();
        let map = IndexMap::noise_shape(&shape, &noise).unwrap();
        let map = map.shard(&ranges).unwrap().permuted(&order).unwrap();
        let first = below(map.elements());
        let map = map.window(first, map.elements() - first).unwrap();
        let random_bits = RandomBits::ALL[below(3) as usize];
        let dropout = dropout(random_bits).with_element_offset((1 << 36) - below(1 << 12));
        forward(&dropout, &map, &painted(elements(&map)));
    }
}

#[test]
fn empty_tensors() {
    let far = dropout(RandomBits::B32).with_element_offset(u64::MAX);
    for map in [
        IndexMap::plain(&[0]).unwrap(),
        IndexMap::plain(&[3, 0, 2]).unwrap(),
        IndexMap::plain(&[4, 6]).unwrap().shard(&[4..4, 0..6]).unwrap(),
        IndexMap::drop_path(&[0, 5]).unwrap(),
    ] {
        assert_eq!(forward(&far, &map, &[]), [0.0; 0]);
    }
    // One element, which no dimension is left for.
    let map = IndexMap::plain(&[1, 1]).unwrap();
    forward(&far, &map, &[2.5]);
    assert_eq!(forward(&far, &IndexMap::plain(&[]).unwrap(), &[2.5]).len(), 1);
}

#[test]
fn tensors_that_the_map_does_not_describe_are_refused() {
    let dropout = dropout(RandomBits::B32);
    let map = IndexMap::plain(&[3, 4]).unwrap();
    let (x, mut y) = ([1.0f32; 13], [7.0; 13]);
    let refused = SliceError::Map {
        elements: 13,
        expected: 12,
    };
    assert_eq!(cpu::forward(dropout.over(&map), &x, &mut y), Err(refused));
    assert_eq!(reference::forward(dropout.over(&map), &x, &mut y), Err(refused));
    assert_eq!(cpu::forward_to_vec(dropout.over(&map), &x), Err(refused));
    let far = IndexMap::new(&[13], &[1 << 60]).unwrap();
    let error = cpu::forward(dropout.with_element_offset(1 << 63).over(&far), &x, &mut y).unwrap_err();
    assert!(matches!(error, SliceError::Offset(_)), "{error}");
    assert_eq!(y, [7.0; 13]);
}

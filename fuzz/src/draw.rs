//! Any call over any index map: the CPU path gives the reference's bits, or the same error.

use arbitrary::Arbitrary;
use wgpu_dropout::half::{bf16, f16};
use wgpu_dropout::{
    Dropout, Element, IndexMap, Neighbours, Probability, RandomBits, ScaleMode, bit_mask_words, cpu, reference,
};

#[derive(Arbitrary)]
struct Input {
    p: f64,
    random_bits: u8,
    is_classic: bool,
    seed: u64,
    subsequence: u64,
    /// From 0 or from the end of the stream.
    offset: u64,
    is_far: bool,
    dimensions: Vec<(u16, u64)>,
    first: u16,
    seeds: Vec<u64>,
    elements_per_seed: u16,
    dtype: u8,
    bits: Vec<u32>,
}

/// Elements at most: the reference is slow.
const MOST: u64 = 3000;

fn compare<T: Element>(input: &Input, dropout: &Dropout, map: &IndexMap) {
    let elements = map.elements() as usize;
    let pattern = |i: usize| input.bits.get(i % input.bits.len().max(1)).copied().unwrap_or(i as u32);
    let bytes: Vec<u8> = (0..elements)
        .flat_map(|i| pattern(i).to_le_bytes().into_iter().take(size_of::<T>()))
        .collect();
    let mut x = vec![T::zeroed(); elements];
    bytemuck::cast_slice_mut(&mut x).copy_from_slice(&bytes);
    let mut draw = dropout.over(map);
    if input.elements_per_seed > 0 && !input.seeds.is_empty() {
        draw = draw.with_seeds(&input.seeds, input.elements_per_seed.into());
    }
    let mut mask = vec![0xcacacaca; bit_mask_words(elements as u64) as usize];
    let mut expected_mask = mask.clone();
    let (mut y, mut expected) = (x.clone(), x.clone());
    let done = cpu::forward_with_bit_mask(draw, &x, &mut y, &mut mask);
    let expected_done = reference::forward_with_bit_mask(draw, &x, &mut expected, &mut expected_mask);
    assert_eq!(done, expected_done);
    assert_eq!(bits(&y), bits(&expected));
    assert_eq!(mask, expected_mask);

    let mut dx = x.clone();
    assert_eq!(cpu::backward_in_place(draw, &mut dx), expected_done);
    assert_eq!(bits(&dx), bits(&expected));

    let columns = usize::from(input.first).clamp(1, elements.max(1));
    let neighbours = Neighbours {
        bias: elements
            .is_multiple_of(columns)
            .then(|| &x[..columns.min(elements)])
            .filter(|bias| !bias.is_empty()),
        residual: input.is_far.then_some(&x[..]),
    };
    let done = cpu::forward_fused(draw, &x, neighbours, &mut y);
    let expected_done = reference::forward_fused(draw, &x, neighbours, &mut expected);
    assert_eq!(done, expected_done);
    assert_eq!(bits(&y), bits(&expected));
}

fn bits<T: Element>(of: &[T]) -> &[u8] {
    bytemuck::cast_slice(of)
}

/// Runs it on bytes; a panic is a finding.
pub fn check(bytes: &[u8]) {
    let Some(input) = crate::taken::<Input>(bytes) else {
        return;
    };
    let random_bits = RandomBits::ALL[usize::from(input.random_bits) % 3];
    let Ok(probability) = Probability::new(input.p.abs().fract(), random_bits) else {
        return;
    };
    let dropout = Dropout {
        probability,
        scale_mode: if input.is_classic {
            ScaleMode::Classic
        } else {
            ScaleMode::Inverted
        },
        seed: input.seed,
        subsequence: input.subsequence,
        element_offset: if input.is_far {
            u64::MAX - input.offset % 10_000
        } else {
            input.offset
        },
    };
    let mut shape = Vec::new();
    let mut strides = Vec::new();
    for &(length, stride) in input.dimensions.iter().take(6) {
        shape.push(u64::from(length) % 70);
        // Small strides often, for maps that are nearly plain.
        strides.push(if stride % 2 == 0 { stride / 2 % 100 } else { stride });
    }
    let Ok(map) = IndexMap::new(&shape, &strides) else {
        return;
    };
    let first = u64::from(input.first).min(map.elements());
    let Ok(map) = map.window(first, (map.elements() - first).min(MOST)) else {
        return;
    };
    match input.dtype % 3 {
        0 => compare::<f32>(&input, &dropout, &map),
        1 => compare::<f16>(&input, &dropout, &map),
        _ => compare::<bf16>(&input, &dropout, &map),
    }
}

//! Results against the reference, bit for bit: a wrong one posts no time.

use rayon::prelude::*;
use wgpu_dropout::half::{bf16, f16};
use wgpu_dropout::{Dropout, Element, SliceError, bit_mask_words, reference};

/// Elements that are compared at a time; a multiple of the mask's word.
const CHUNK: usize = 1 << 16;

/// The input repeats after so many elements; a power of two, at most a chunk.
pub const PERIOD: u64 = 4096;

/// An element type that ordinary numbers can be written in.
pub trait Number: Element {
    fn from_f32(x: f32) -> Self;
}

impl Number for f32 {
    fn from_f32(x: f32) -> Self {
        x
    }
}

impl Number for f16 {
    fn from_f32(x: f32) -> Self {
        Self::from_f32(x)
    }
}

impl Number for bf16 {
    fn from_f32(x: f32) -> Self {
        Self::from_f32(x)
    }
}

/// Element i of the input, an ordinary number.
fn input<T: Number>(i: u64) -> T {
    T::from_f32((i % PERIOD) as f32 * 0.25 + 0.5)
}

/// The input from element `first` on.
pub fn fill<T: Number>(x: &mut [T], first: u64) {
    for (x, i) in x.iter_mut().zip(first..) {
        *x = input(i);
    }
}

fn wrong(what: &str, first: u64, expected: &[u8], actual: &[u8], unit: usize) -> String {
    let at = expected.iter().zip(actual).position(|(e, a)| e != a).unwrap_or(0) / unit;
    let hex = |bytes: &[u8]| {
        let unit = bytes.get(at * unit..(at + 1) * unit).unwrap_or_default(); // at most 4 bytes
        let value = unit
            .iter()
            .rev()
            .fold(0u32, |value, &byte| value << 8 | u32::from(byte));
        format!("{value:0width$x}", width = unit.len() * 2)
    };
    format!(
        "WRONG RESULT, no time reported: {what} {} is {}, the reference says {}; run `wgpu-dropout verify`",
        first + at as u64,
        hex(actual),
        hex(expected)
    )
}

/// Compares chunks with what `expected` says of the chunk that starts at an element, on all cores.
fn compare<T: bytemuck::Pod + Sync>(
    what: &str,
    first: u64,
    elements_a_unit: u64,
    actual: &[T],
    expected: impl Fn(u64, usize) -> Result<Vec<T>, SliceError> + Sync,
) -> Result<(), String> {
    let units = CHUNK / elements_a_unit as usize;
    actual.par_chunks(units).enumerate().try_for_each(|(n, actual)| {
        let unit = first / elements_a_unit + (n * units) as u64;
        let expected = expected(unit * elements_a_unit, actual.len()).map_err(|error| error.to_string())?;
        let (e, a) = (bytemuck::cast_slice(&expected), bytemuck::cast_slice(actual));
        if e == a {
            Ok(())
        } else {
            Err(wrong(what, unit, e, a, size_of::<T>()))
        }
    })
}

fn at(dropout: &Dropout, first: u64) -> Dropout {
    dropout.with_element_offset(dropout.element_offset + first)
}

/// The output from element `first` on, forward or backward.
pub fn output<T: Number>(dropout: &Dropout, first: u64, y: &[T]) -> Result<(), String> {
    compare("element", first, 1, y, |first, length| {
        let mut expected = vec![T::zeroed(); length];
        fill(&mut expected, first);
        reference::forward_in_place(&at(dropout, first), &mut expected)?;
        Ok(expected)
    })
}

/// The bit mask of `elements` elements from `first`, a multiple of 32, on.
pub fn bits(dropout: &Dropout, first: u64, elements: usize, mask: &[u32]) -> Result<(), String> {
    compare("word of the bit mask", first, 32, mask, |start, words| {
        let length = (words * 32).min(elements - (start - first) as usize);
        let mut expected = vec![0; bit_mask_words(length as u64) as usize];
        reference::bit_mask(&at(dropout, start), length, &mut expected)?;
        Ok(expected)
    })
}

/// The byte mask from element `first` on.
pub fn bytes(dropout: &Dropout, first: u64, mask: &[u8]) -> Result<(), String> {
    compare("byte of the mask", first, 1, mask, |first, length| {
        let mut expected = vec![0; length];
        reference::byte_mask(&at(dropout, first), &mut expected)?;
        Ok(expected)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_wrong_bit_is_found() {
        let dropout = Dropout::new(0.3, 1).expect("a probability");
        let first = 64;
        let mut y = vec![0.0f32; 3 * CHUNK + 5];
        fill(&mut y, first);
        reference::forward_in_place(&at(&dropout, first), &mut y).expect("lengths agree");
        assert_eq!(output(&dropout, first, &y), Ok(()));
        let place = 2 * CHUNK + 7;
        y[place] = f32::from_bits(y[place].to_bits() ^ 1);
        let error = output(&dropout, first, &y).expect_err("one is wrong");
        assert!(
            error.contains(&format!("element {} is", first as usize + place)),
            "{error}"
        );

        let elements = CHUNK + 33;
        let mut mask = vec![0u32; elements.div_ceil(32)];
        reference::bit_mask(&at(&dropout, first), elements, &mut mask).expect("lengths agree");
        assert_eq!(bits(&dropout, first, elements, &mask), Ok(()));
        *mask.last_mut().expect("not empty") ^= 2;
        assert!(bits(&dropout, first, elements, &mask).is_err());

        let mut mask = vec![0u8; elements];
        reference::byte_mask(&at(&dropout, first), &mut mask).expect("lengths agree");
        assert_eq!(bytes(&dropout, first, &mask), Ok(()));
        mask[CHUNK] ^= 1;
        assert!(bytes(&dropout, first, &mask).is_err());
    }
}

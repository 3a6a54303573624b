//! The contract as code: the scalar reference.
//!
//! This file defines; everything else in the crate is compared with it. It is written to be read from
//! top to bottom beside `docs/contract.md` and is never optimised. Section numbers are the contract's.
//! It shares no code with the shaders, and with the CPU path only the Philox block function, which known
//! answers and an independent implementation hold, and what makes arithmetic that of IEEE 754 in any thread: a mistake in
//! one can't hide in another.
//!
//! # Examples
//!
//! ```
//! use wgpu_dropout::{Dropout, reference};
//!
//! let dropout = Dropout::new(0.5, 42)?;
//! let x = [1.0f32, 2.0, 3.0, 4.0];
//! let mut y = [0.0; 4];
//! reference::forward(&dropout, &x, &mut y)?;
//!
//! // Backward draws the same mask again; the factor of a kept gradient is the forward's.
//! let dy = [1.0f32; 4];
//! let mut dx = [0.0; 4];
//! reference::backward(&dropout, &dy, &mut dx)?;
//! assert_eq!([0, 1, 2, 3].map(|i| dx[i] * x[i]), y);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use half::{bf16, f16};

use crate::element::bit_mask_words;
use crate::error::check_length;
use crate::float_environment::with_default;
use crate::fused::{ROWS_OF_A_SUM, check_rows};
use crate::philox::block;
use crate::{Draw, Dropout, Element, Neighbours, SliceError};

// Section 2: which integer an element draws.

/// The integer of the element with global index `g`: lane `g mod (128/b)` of block `g / (128/b)`.
fn integer(dropout: &Dropout, g: u64) -> u64 {
    let bits = dropout.probability.random_bits().bits();
    let lanes = u64::from(128 / bits);
    let words = block(dropout.seed, dropout.subsequence, g / lanes);
    let stream = words
        .iter()
        .rev()
        .fold(0u128, |all, &word| all << 32 | u128::from(word));
    let lane = (g % lanes) as u32;
    (stream >> (lane * bits)) as u64 & ((1 << bits) - 1)
}

// Section 3: whether it is kept.

/// Whether local element `i` of the call is kept.
///
/// # Panics
///
/// In debug builds where the element's global index passes 2^64; the functions over slices check that first.
///
/// # Examples
///
/// ```
/// use wgpu_dropout::rand_core::Rng as _;
/// use wgpu_dropout::{Dropout, Philox4x32, reference};
///
/// // With 32 random bits element g draws word g of the stream, and is kept where that is below the threshold.
/// let dropout = Dropout::new(0.5, 42)?.with_subsequence(7);
/// let mut words = Philox4x32::new(42, 7);
/// for g in 0..100 {
///     let is_kept = u64::from(words.next_u32()) < dropout.probability.threshold();
///     assert_eq!(reference::keeps(&dropout, g), is_kept);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn keeps<'a>(draw: impl Into<Draw<'a>>, i: u64) -> bool {
    let draw = draw.into();
    // Section 8: where local element i lies in the stream.
    integer(&draw.dropout_of(i), draw.global(i)) < draw.dropout.probability.threshold()
}

// Section 5: what becomes of a kept element.

/// K(x) of each element type.
#[doc(hidden)]
pub trait Kept: Sized {
    /// K(x) with the given factor.
    #[must_use]
    fn kept(self, scale: f32) -> Self;
    /// All bits zero: a dropped element.
    fn dropped() -> Self;
    /// Widened to f32 without loss (section 9).
    #[must_use]
    fn wide(self) -> f32;
    /// Rounded to nearest even; any NaN becomes the canonical one (section 9).
    #[must_use]
    fn rounded(wide: f32) -> Self;
}

impl Kept for f32 {
    fn kept(self, scale: f32) -> Self {
        if self.is_nan() {
            return Self::from_bits(self.to_bits() | 0x0040_0000);
        }
        let product = self * scale;
        if product.is_nan() {
            return Self::from_bits(0x7fc0_0000); // infinity times zero
        }
        product
    }

    fn dropped() -> Self {
        0.0
    }

    fn wide(self) -> f32 {
        self
    }

    fn rounded(wide: f32) -> Self {
        if wide.is_nan() {
            Self::from_bits(0x7fc0_0000)
        } else {
            wide
        }
    }
}

impl Kept for f16 {
    fn kept(self, scale: f32) -> Self {
        if self.is_nan() {
            return Self::from_bits(self.to_bits() | 0x0200);
        }
        let product = self.to_f32() * scale;
        if product.is_nan() {
            return Self::from_bits(0x7e00);
        }
        Self::from_f32(product)
    }

    fn dropped() -> Self {
        Self::from_bits(0)
    }

    fn wide(self) -> f32 {
        self.to_f32()
    }

    fn rounded(wide: f32) -> Self {
        if wide.is_nan() {
            Self::from_bits(0x7e00)
        } else {
            Self::from_f32(wide)
        }
    }
}

impl Kept for bf16 {
    fn kept(self, scale: f32) -> Self {
        if self.is_nan() {
            return Self::from_bits(self.to_bits() | 0x0040);
        }
        let product = self.to_f32() * scale;
        if product.is_nan() {
            return Self::from_bits(0x7fc0);
        }
        Self::from_f32(product)
    }

    fn dropped() -> Self {
        Self::from_bits(0)
    }

    fn wide(self) -> f32 {
        self.to_f32()
    }

    fn rounded(wide: f32) -> Self {
        if wide.is_nan() {
            Self::from_bits(0x7fc0)
        } else {
            Self::from_f32(wide)
        }
    }
}

// Section 6: forward and backward. They are one function of (mask, factor).

fn apply<T: Element>(dropout: &Dropout, x: &[T], y: &mut [T], keep: impl Fn(usize) -> bool) {
    let scale = dropout.probability.training_scale(dropout.scale_mode);
    with_default(|| {
        for (i, (&x, y)) in x.iter().zip(y).enumerate() {
            *y = if keep(i) { x.kept(scale) } else { T::dropped() };
        }
    });
}

fn apply_in_place<T: Element>(dropout: &Dropout, x: &mut [T], keep: impl Fn(usize) -> bool) {
    let scale = dropout.probability.training_scale(dropout.scale_mode);
    with_default(|| {
        for (i, x) in x.iter_mut().enumerate() {
            *x = if keep(i) { x.kept(scale) } else { T::dropped() };
        }
    });
}

fn is_set(bits: &[u32], i: usize) -> bool {
    bits[i / 32] >> (i % 32) & 1 == 1
}

/// Drops and scales: `y = K(x)` where kept, else +0.
///
/// # Errors
///
/// [`SliceError`] where `y` is not as long as `x`, or the elements pass global index 2^64.
///
/// # Examples
///
/// ```
/// use wgpu_dropout::{Dropout, reference};
///
/// let (dropout, x, mut y) = (Dropout::new(0.5, 42)?, [1.0f32, f32::NAN, 3.0, f32::INFINITY], [0.0; 4]);
/// reference::forward(&dropout, &x, &mut y)?;
/// // What is dropped is zero, whatever it was.
/// for i in 0..4 {
///     assert_eq!(y[i].to_bits() == 0, !reference::keeps(&dropout, i as u64));
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn forward<'a, T: Element>(draw: impl Into<Draw<'a>>, x: &[T], y: &mut [T]) -> Result<(), SliceError> {
    let draw = draw.into();
    draw.check(x.len() as u64)?;
    check_length("y", "elements", x.len() as u64, x.len() as u64, y.len())?;
    apply(draw.dropout, x, y, |i| keeps(draw, i as u64));
    Ok(())
}

/// [`forward`] on the tensor's own memory.
///
/// # Errors
///
/// [`SliceError`] where the elements pass global index 2^64.
///
/// # Examples
///
/// ```
/// use wgpu_dropout::{Dropout, reference};
///
/// let (dropout, mut x) = (Dropout::new(0.0, 42)?, [1.0f32, 2.0]);
/// reference::forward_in_place(&dropout, &mut x)?;
/// assert_eq!(x, [1.0, 2.0]); // p = 0 keeps all, with a factor of 1
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn forward_in_place<'a, T: Element>(draw: impl Into<Draw<'a>>, x: &mut [T]) -> Result<(), SliceError> {
    let draw = draw.into();
    draw.check(x.len() as u64)?;
    apply_in_place(draw.dropout, x, |i| keeps(draw, i as u64));
    Ok(())
}

/// [`forward`] that also stores the bit mask, `ceil(len / 32)` words.
///
/// # Errors
///
/// [`SliceError`] where lengths disagree or the elements pass global index 2^64.
///
/// # Examples
///
/// ```
/// use wgpu_dropout::{Dropout, reference};
///
/// let (x, mut y, mut mask) = ([1.0f32; 8], [0.0; 8], [0]);
/// reference::forward_with_bit_mask(&Dropout::new(0.5, 42)?, &x, &mut y, &mut mask)?;
/// let from_mask: Vec<f32> = (0..8).map(|i| 2.0 * (mask[0] >> i & 1) as f32).collect();
/// assert_eq!(y[..], from_mask);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn forward_with_bit_mask<'a, T: Element>(
    draw: impl Into<Draw<'a>>,
    x: &[T],
    y: &mut [T],
    mask: &mut [u32],
) -> Result<(), SliceError> {
    let draw = draw.into();
    let elements = x.len() as u64;
    check_length("mask", "words", elements, bit_mask_words(elements), mask.len())?;
    forward(draw, x, y)?;
    bit_mask(draw, x.len(), mask)
}

/// [`forward`] that also stores the byte mask, one byte an element.
///
/// # Errors
///
/// [`SliceError`] where lengths disagree or the elements pass global index 2^64.
///
/// # Examples
///
/// ```
/// use wgpu_dropout::{Dropout, reference};
///
/// let (x, mut y, mut mask) = ([1.0f32; 8], [0.0; 8], [0; 8]);
/// reference::forward_with_byte_mask(&Dropout::new(0.5, 42)?, &x, &mut y, &mut mask)?;
/// assert_eq!(y, mask.map(|kept| 2.0 * f32::from(kept)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn forward_with_byte_mask<'a, T: Element>(
    draw: impl Into<Draw<'a>>,
    x: &[T],
    y: &mut [T],
    mask: &mut [u8],
) -> Result<(), SliceError> {
    let draw = draw.into();
    let elements = x.len() as u64;
    check_length("mask", "bytes", elements, elements, mask.len())?;
    forward(draw, x, y)?;
    byte_mask(draw, mask)
}

/// The gradient, with the mask drawn again: `dx = K(dy)` where kept, else +0.
///
/// # Errors
///
/// [`SliceError`] where `dx` is not as long as `dy`, or the elements pass global index 2^64.
///
/// # Examples
///
/// ```
/// use wgpu_dropout::{Dropout, reference};
///
/// let (dropout, dy, mut dx) = (Dropout::new(0.5, 42)?, [1.0f32, 2.0, 3.0, 4.0], [0.0; 4]);
/// reference::backward(&dropout, &dy, &mut dx)?;
/// for (i, (dx, dy)) in dx.into_iter().zip(dy).enumerate() {
///     assert_eq!(dx, if reference::keeps(&dropout, i as u64) { 2.0 * dy } else { 0.0 });
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn backward<'a, T: Element>(draw: impl Into<Draw<'a>>, dy: &[T], dx: &mut [T]) -> Result<(), SliceError> {
    let draw = draw.into();
    draw.check(dy.len() as u64)?;
    check_length("dx", "elements", dy.len() as u64, dy.len() as u64, dx.len())?;
    apply(draw.dropout, dy, dx, |i| keeps(draw, i as u64));
    Ok(())
}

/// [`backward`] on the gradient's own memory.
///
/// # Errors
///
/// [`SliceError`] where the elements pass global index 2^64.
///
/// # Examples
///
/// ```
/// use wgpu_dropout::{Dropout, reference};
///
/// let (dropout, mut gradient) = (Dropout::new(1.0, 42)?, [1.0f32, 2.0]);
/// reference::backward_in_place(&dropout, &mut gradient)?;
/// assert_eq!(gradient, [0.0, 0.0]); // p = 1 keeps nothing
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn backward_in_place<'a, T: Element>(draw: impl Into<Draw<'a>>, dy: &mut [T]) -> Result<(), SliceError> {
    let draw = draw.into();
    forward_in_place(draw, dy)
}

/// The gradient, with the mask read from a bit mask.
///
/// # Errors
///
/// [`SliceError`] where lengths disagree or the elements pass global index 2^64.
///
/// # Examples
///
/// ```
/// use wgpu_dropout::{Dropout, reference};
///
/// let (dropout, mut dx) = (Dropout::new(0.5, 42)?, [0.0; 3]);
/// reference::backward_from_bit_mask(&dropout, &[1.0f32, 2.0, 3.0], &[0b110], &mut dx)?;
/// assert_eq!(dx, [0.0, 4.0, 6.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn backward_from_bit_mask<'a, T: Element>(
    draw: impl Into<Draw<'a>>,
    dy: &[T],
    mask: &[u32],
    dx: &mut [T],
) -> Result<(), SliceError> {
    let draw = draw.into();
    let elements = dy.len() as u64;
    draw.check(dy.len() as u64)?;
    check_length("mask", "words", elements, bit_mask_words(elements), mask.len())?;
    check_length("dx", "elements", elements, elements, dx.len())?;
    apply(draw.dropout, dy, dx, |i| is_set(mask, i));
    Ok(())
}

/// [`backward_from_bit_mask`] on the gradient's own memory.
///
/// # Errors
///
/// [`SliceError`] where lengths disagree or the elements pass global index 2^64.
///
/// # Examples
///
/// ```
/// use wgpu_dropout::{Dropout, reference};
///
/// let mut gradient = [1.0f32, 2.0, 3.0];
/// reference::backward_from_bit_mask_in_place(&Dropout::new(0.5, 42)?, &mut gradient, &[0b110])?;
/// assert_eq!(gradient, [0.0, 4.0, 6.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn backward_from_bit_mask_in_place<'a, T: Element>(
    draw: impl Into<Draw<'a>>,
    dy: &mut [T],
    mask: &[u32],
) -> Result<(), SliceError> {
    let draw = draw.into();
    let elements = dy.len() as u64;
    draw.check(dy.len() as u64)?;
    check_length("mask", "words", elements, bit_mask_words(elements), mask.len())?;
    apply_in_place(draw.dropout, dy, |i| is_set(mask, i));
    Ok(())
}

/// The gradient, with the mask read from a byte mask; any byte but 0 means kept.
///
/// # Errors
///
/// [`SliceError`] where lengths disagree or the elements pass global index 2^64.
///
/// # Examples
///
/// ```
/// use wgpu_dropout::{Dropout, reference};
///
/// let (dropout, mut dx) = (Dropout::new(0.5, 42)?, [0.0; 3]);
/// reference::backward_from_byte_mask(&dropout, &[1.0f32, 2.0, 3.0], &[0, 1, 255], &mut dx)?;
/// assert_eq!(dx, [0.0, 4.0, 6.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn backward_from_byte_mask<'a, T: Element>(
    draw: impl Into<Draw<'a>>,
    dy: &[T],
    mask: &[u8],
    dx: &mut [T],
) -> Result<(), SliceError> {
    let draw = draw.into();
    let elements = dy.len() as u64;
    draw.check(dy.len() as u64)?;
    check_length("mask", "bytes", elements, elements, mask.len())?;
    check_length("dx", "elements", elements, elements, dx.len())?;
    apply(draw.dropout, dy, dx, |i| mask[i] != 0);
    Ok(())
}

/// [`backward_from_byte_mask`] on the gradient's own memory.
///
/// # Errors
///
/// [`SliceError`] where lengths disagree or the elements pass global index 2^64.
///
/// # Examples
///
/// ```
/// use wgpu_dropout::{Dropout, reference};
///
/// let mut gradient = [1.0f32, 2.0, 3.0];
/// reference::backward_from_byte_mask_in_place(&Dropout::new(0.5, 42)?, &mut gradient, &[0, 1, 1])?;
/// assert_eq!(gradient, [0.0, 4.0, 6.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn backward_from_byte_mask_in_place<'a, T: Element>(
    draw: impl Into<Draw<'a>>,
    dy: &mut [T],
    mask: &[u8],
) -> Result<(), SliceError> {
    let draw = draw.into();
    let elements = dy.len() as u64;
    draw.check(dy.len() as u64)?;
    check_length("mask", "bytes", elements, elements, mask.len())?;
    apply_in_place(draw.dropout, dy, |i| mask[i] != 0);
    Ok(())
}

// Section 7: masks alone.

/// The bit mask of `len` elements: element i is bit `i mod 32` of word `i / 32`, 1 = kept, the unused
/// bits 0.
///
/// # Errors
///
/// [`SliceError`] where `mask` has not `ceil(len / 32)` words, or the elements pass global index 2^64.
///
/// # Examples
///
/// ```
/// use wgpu_dropout::{Dropout, reference};
///
/// let (dropout, mut mask) = (Dropout::new(0.5, 42)?, [0; 2]);
/// reference::bit_mask(&dropout, 40, &mut mask)?;
/// for i in 0..40 {
///     assert_eq!(mask[i / 32] >> (i % 32) & 1 == 1, reference::keeps(&dropout, i as u64));
/// }
/// assert_eq!(mask[1] >> 8, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn bit_mask<'a>(draw: impl Into<Draw<'a>>, len: usize, mask: &mut [u32]) -> Result<(), SliceError> {
    let draw = draw.into();
    let elements = len as u64;
    draw.check(len as u64)?;
    check_length("mask", "words", elements, bit_mask_words(elements), mask.len())?;
    mask.fill(0);
    for i in 0..len {
        mask[i / 32] |= u32::from(keeps(draw, i as u64)) << (i % 32);
    }
    Ok(())
}

/// The byte mask: element i is byte i, 1 = kept, 0 = dropped.
///
/// # Errors
///
/// [`SliceError`] where the elements pass global index 2^64.
///
/// # Examples
///
/// ```
/// use wgpu_dropout::{Dropout, reference};
///
/// let (dropout, mut mask) = (Dropout::new(0.5, 42)?, [0; 40]);
/// reference::byte_mask(&dropout, &mut mask)?;
/// assert!((0..40).all(|i| (mask[i] == 1) == reference::keeps(&dropout, i as u64)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn byte_mask<'a>(draw: impl Into<Draw<'a>>, mask: &mut [u8]) -> Result<(), SliceError> {
    let draw = draw.into();
    draw.check(mask.len() as u64)?;
    for (i, byte) in mask.iter_mut().enumerate() {
        *byte = u8::from(keeps(draw, i as u64));
    }
    Ok(())
}

// Section 4: inference.

/// Inference: the identity on the bits for inverted dropout; for classic dropout every element becomes
/// K(x) with the keep probability as the factor. Nothing is drawn.
///
/// # Errors
///
/// [`SliceError`] where `y` is not as long as `x`.
///
/// # Examples
///
/// ```
/// use wgpu_dropout::{Dropout, ScaleMode, reference};
///
/// let classic = Dropout::new(0.5, 42)?.with_scale_mode(ScaleMode::Classic);
/// let mut y = [0.0; 2];
/// reference::inference(&classic, &[1.0f32, -2.0], &mut y)?;
/// assert_eq!(y, [0.5, -1.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn inference<'a, T: Element>(draw: impl Into<Draw<'a>>, x: &[T], y: &mut [T]) -> Result<(), SliceError> {
    let dropout = draw.into().dropout;
    check_length("y", "elements", x.len() as u64, x.len() as u64, y.len())?;
    y.copy_from_slice(x);
    inference_in_place(dropout, y)
}

/// [`inference`] on the tensor's own memory.
///
/// # Errors
///
/// None today; a `Result` like its siblings.
///
/// # Examples
///
/// ```
/// use wgpu_dropout::{Dropout, reference};
///
/// let mut x = [1.0f32, -2.0];
/// reference::inference_in_place(&Dropout::new(0.5, 42)?, &mut x)?;
/// assert_eq!(x, [1.0, -2.0]); // inverted dropout
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn inference_in_place<'a, T: Element>(draw: impl Into<Draw<'a>>, x: &mut [T]) -> Result<(), SliceError> {
    let dropout = draw.into().dropout;
    if let Some(factor) = dropout.probability.inference_scale(dropout.scale_mode) {
        with_default(|| x.iter_mut().for_each(|x| *x = x.kept(factor)));
    }
    Ok(())
}

// Section 9: bias and residual in the same pass.

/// `y = residual + D(x + bias)`, each operation in f32 and rounded once, the result rounded once more to the storage
/// type; a neighbour that is not there is left out. Any NaN is the canonical one.
///
/// The gradients: of x [`backward`]; of the bias [`bias_gradient`] of that; of the residual dy itself.
///
/// # Errors
///
/// [`SliceError`] where lengths disagree, x is not whole rows of the bias, or the elements pass global index 2^64.
///
/// # Examples
///
/// ```
/// use wgpu_dropout::{Dropout, Neighbours, reference};
///
/// let (x, residual) = ([1.0f32; 6], [10.0; 6]);
/// let neighbours = Neighbours { bias: Some(&[1.0, 2.0, 3.0]), residual: Some(&residual) };
/// let mut y = [0.0; 6];
/// reference::forward_fused(&Dropout::new(0.0, 42)?, &x, neighbours, &mut y)?;
/// assert_eq!(y, [12.0, 13.0, 14.0, 12.0, 13.0, 14.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn forward_fused<'a, T: Element>(
    draw: impl Into<Draw<'a>>,
    x: &[T],
    neighbours: Neighbours<'_, T>,
    y: &mut [T],
) -> Result<(), SliceError> {
    let draw = draw.into();
    neighbours.check(draw, x.len(), y.len())?;
    let scale = draw.dropout.probability.training_scale(draw.dropout.scale_mode);
    with_default(|| {
        for (i, (&x, y)) in x.iter().zip(y).enumerate() {
            let mut value = x.wide();
            if let Some(bias) = neighbours.bias {
                value += bias[i % bias.len()].wide();
            }
            value = if keeps(draw, i as u64) { value * scale } else { 0.0 };
            if let Some(residual) = neighbours.residual {
                value += residual[i].wide();
            }
            *y = T::rounded(value);
        }
    });
    Ok(())
}

/// The gradient of the bias: the sum of dx over its rows, in f32, rounded once to the storage type. Any NaN is the
/// canonical one; no rows give +0.
///
/// The order is a part of the contract. Each 64 rows that follow each other, the last maybe fewer, make a sum: the first
/// row's value, plus the second's, and so on. Each 64 of these sums make one likewise, and so on until one is left.
///
/// # Errors
///
/// [`SliceError::Rows`] where dx is not whole rows of `dbias`.
///
/// # Examples
///
/// ```
/// let mut dbias = [0.0f32; 2];
/// wgpu_dropout::reference::bias_gradient(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &mut dbias)?;
/// assert_eq!(dbias, [9.0, 12.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn bias_gradient<T: Element>(dx: &[T], dbias: &mut [T]) -> Result<(), SliceError> {
    let columns = dbias.len();
    check_rows(dx.len(), columns)?;
    with_default(|| {
        for (column, dbias) in dbias.iter_mut().enumerate() {
            let mut values: Vec<f32> = dx.iter().skip(column).step_by(columns).map(|dx| dx.wide()).collect();
            while values.len() > 1 {
                values = values
                    .chunks(ROWS_OF_A_SUM as usize)
                    .map(|values| values[1..].iter().fold(values[0], |sum, value| sum + value))
                    .collect();
            }
            *dbias = T::rounded(values.first().copied().unwrap_or(0.0));
        }
    });
    Ok(())
}

//! The same operations on all cores of the CPU, under the same names as in [`reference`](crate::reference).
//!
//! Work is cut at multiples of the mask word; a Philox block that a cut goes through is drawn on both
//! sides of it, so any number of threads gives the same bits; inside a
//! caller's rayon pool it runs in that pool. Small tensors are done on the calling thread. Outputs are the
//! caller's, to be reused from call to call, and the in-place forms need none. A freshly allocated output
//! costs more in page faults than the dropout itself; [`forward_to_vec`] and [`backward_to_vec`], which
//! allocate one, ask for huge pages where the system has them, and are still slower than reuse.
//!
//! # Examples
//!
//! ```
//! use wgpu_dropout::{Dropout, cpu};
//!
//! let dropout = Dropout::new(0.1, 42)?;
//! let mut activations = vec![1.0f32; 100_000];
//! cpu::forward_in_place(&dropout, &mut activations)?;
//! let kept = activations.iter().filter(|&&y| y != 0.0).count();
//! assert_eq!(kept, 89_900);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod columns;
mod decide;
mod draw;
mod fused;
mod job;
mod mapped;
mod outputs;
mod pages;
mod pieces;
mod scale;
mod short_runs;
mod walks;
mod words;
#[cfg(target_arch = "x86_64")]
mod x86;

pub use fused::{bias_gradient, forward_fused};
pub(crate) use job::Compiled;
use job::{Data, Sink, Source, given, scaled, training};
use pieces::ByPieces;
pub(crate) use scale::Scale;

use crate::element::bit_mask_words;
use crate::error::check_length;
use crate::{Draw, Element, SliceError};

fn check_output(name: &'static str, elements: usize, actual: usize) -> Result<(), SliceError> {
    check_length(name, "elements", elements as u64, elements as u64, actual)
}

fn check_bits(elements: usize, mask: &[u32]) -> Result<(), SliceError> {
    let elements = elements as u64;
    check_length("mask", "words", elements, bit_mask_words(elements), mask.len())
}

fn check_bytes(elements: usize, mask: &[u8]) -> Result<(), SliceError> {
    check_length("mask", "bytes", elements as u64, elements as u64, mask.len())
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
/// use wgpu_dropout::{Dropout, cpu, reference};
///
/// let dropout = Dropout::new(0.3, 42)?;
/// let x: Vec<f32> = (0..1000u16).map(f32::from).collect();
/// let (mut y, mut defined) = ([0.0; 1000], [0.0; 1000]);
/// cpu::forward(&dropout, &x, &mut y)?;
/// reference::forward(&dropout, &x, &mut defined)?;
/// assert_eq!(y, defined);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn forward<'a, T: Element>(draw: impl Into<Draw<'a>>, x: &[T], y: &mut [T]) -> Result<(), SliceError> {
    let draw = draw.into();
    draw.check(x.len() as u64)?;
    check_output("y", x.len(), y.len())?;
    training(draw, x.len(), Data::Apart(x, y)).run();
    Ok(())
}

/// [`forward`] into a new vector, for those who can't reuse one.
///
/// # Errors
///
/// [`SliceError`] where the elements pass global index 2^64 or there is no memory.
///
/// # Examples
///
/// ```
/// use wgpu_dropout::{Dropout, cpu};
///
/// let y = cpu::forward_to_vec(&Dropout::new(0.5, 42)?, &[1.0f32; 8])?;
/// assert!(y.iter().all(|&y| y == 0.0 || y == 2.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn forward_to_vec<'a, T: Element>(draw: impl Into<Draw<'a>>, x: &[T]) -> Result<Vec<T>, SliceError> {
    let draw = draw.into();
    draw.check(x.len() as u64)?;
    let mut y = pages::zeroed(x.len())?;
    forward(draw, x, &mut y)?;
    Ok(y)
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
/// use wgpu_dropout::half::f16;
/// use wgpu_dropout::{Dropout, cpu};
///
/// let mut x = [f16::from_f32(3.0); 8];
/// cpu::forward_in_place(&Dropout::new(0.5, 42)?, &mut x)?;
/// assert!(x.iter().all(|&y| y == f16::ZERO || y == f16::from_f32(6.0)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn forward_in_place<'a, T: Element>(draw: impl Into<Draw<'a>>, x: &mut [T]) -> Result<(), SliceError> {
    let draw = draw.into();
    draw.check(x.len() as u64)?;
    training(draw, x.len(), Data::InPlace(x)).run();
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
/// use wgpu_dropout::{Dropout, bit_mask_words, cpu};
///
/// let (x, mut y) = ([1.0f32; 100], [0.0; 100]);
/// let mut mask = vec![0; bit_mask_words(100) as usize];
/// cpu::forward_with_bit_mask(&Dropout::new(0.5, 42)?, &x, &mut y, &mut mask)?;
/// for (i, &y) in y.iter().enumerate() {
///     assert_eq!(mask[i / 32] >> (i % 32) & 1 == 1, y != 0.0);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn forward_with_bit_mask<'a, T: Element>(
    draw: impl Into<Draw<'a>>,
    x: &[T],
    y: &mut [T],
    mask: &mut [u32],
) -> Result<(), SliceError> {
    let draw = draw.into();
    draw.check(x.len() as u64)?;
    check_output("y", x.len(), y.len())?;
    check_bits(x.len(), mask)?;
    training(draw, x.len(), Data::Stored(x, y, Sink::Bits(mask))).run();
    Ok(())
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
/// use wgpu_dropout::{Dropout, cpu};
///
/// let (x, mut y, mut mask) = ([1.0f32; 100], [0.0; 100], [0; 100]);
/// cpu::forward_with_byte_mask(&Dropout::new(0.5, 42)?, &x, &mut y, &mut mask)?;
/// assert_eq!(y.map(|y| u8::from(y != 0.0)), mask);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn forward_with_byte_mask<'a, T: Element>(
    draw: impl Into<Draw<'a>>,
    x: &[T],
    y: &mut [T],
    mask: &mut [u8],
) -> Result<(), SliceError> {
    let draw = draw.into();
    draw.check(x.len() as u64)?;
    check_output("y", x.len(), y.len())?;
    check_bytes(x.len(), mask)?;
    training(draw, x.len(), Data::Stored(x, y, Sink::Bytes(mask))).run();
    Ok(())
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
/// use wgpu_dropout::{Dropout, cpu};
///
/// let dropout = Dropout::new(0.5, 42)?;
/// let (mut y, mut dx) = ([0.0; 100], [0.0; 100]);
/// cpu::forward(&dropout, &[1.0f32; 100], &mut y)?;
/// cpu::backward(&dropout, &[-3.0f32; 100], &mut dx)?;
/// assert_eq!(dx, y.map(|y| if y == 0.0 { 0.0 } else { -6.0 }));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn backward<'a, T: Element>(draw: impl Into<Draw<'a>>, dy: &[T], dx: &mut [T]) -> Result<(), SliceError> {
    let draw = draw.into();
    draw.check(dy.len() as u64)?;
    check_output("dx", dy.len(), dx.len())?;
    training(draw, dy.len(), Data::Apart(dy, dx)).run();
    Ok(())
}

/// [`backward`] into a new vector, for those who can't reuse one.
///
/// # Errors
///
/// [`SliceError`] where the elements pass global index 2^64 or there is no memory.
///
/// # Examples
///
/// ```
/// use wgpu_dropout::{Dropout, cpu};
///
/// let dropout = Dropout::new(0.5, 42)?;
/// let dx = cpu::backward_to_vec(&dropout, &[1.0f32; 100])?;
/// assert_eq!(dx, cpu::forward_to_vec(&dropout, &[1.0f32; 100])?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn backward_to_vec<'a, T: Element>(draw: impl Into<Draw<'a>>, dy: &[T]) -> Result<Vec<T>, SliceError> {
    let draw = draw.into();
    forward_to_vec(draw, dy)
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
/// use wgpu_dropout::{Dropout, cpu};
///
/// let (dropout, mut gradient) = (Dropout::new(0.25, 42)?, [3.0f32; 100]);
/// cpu::backward_in_place(&dropout, &mut gradient)?;
/// assert!(gradient.iter().all(|&dx| dx == 0.0 || dx == 4.0));
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
/// use wgpu_dropout::{Dropout, cpu};
///
/// // The mask decides, and the call gives the factor.
/// let (dropout, mut dx) = (Dropout::new(0.5, 42)?, [0.0; 4]);
/// cpu::backward_from_bit_mask(&dropout, &[1.0f32, 2.0, 3.0, 4.0], &[0b0101], &mut dx)?;
/// assert_eq!(dx, [2.0, 0.0, 6.0, 0.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn backward_from_bit_mask<'a, T: Element>(
    draw: impl Into<Draw<'a>>,
    dy: &[T],
    mask: &[u32],
    dx: &mut [T],
) -> Result<(), SliceError> {
    let draw = draw.into();
    draw.check(dy.len() as u64)?;
    check_bits(dy.len(), mask)?;
    check_output("dx", dy.len(), dx.len())?;
    given(draw.dropout, ByPieces::Bits(mask), dy.len(), Data::Apart(dy, dx)).run();
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
/// use wgpu_dropout::{Dropout, cpu};
///
/// let mut gradient = [1.0f32, 2.0, 3.0, 4.0];
/// cpu::backward_from_bit_mask_in_place(&Dropout::new(0.5, 42)?, &mut gradient, &[0b0101])?;
/// assert_eq!(gradient, [2.0, 0.0, 6.0, 0.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn backward_from_bit_mask_in_place<'a, T: Element>(
    draw: impl Into<Draw<'a>>,
    dy: &mut [T],
    mask: &[u32],
) -> Result<(), SliceError> {
    let draw = draw.into();
    draw.check(dy.len() as u64)?;
    check_bits(dy.len(), mask)?;
    given(draw.dropout, ByPieces::Bits(mask), dy.len(), Data::InPlace(dy)).run();
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
/// use wgpu_dropout::{Dropout, cpu};
///
/// let (dropout, mut dx) = (Dropout::new(0.5, 42)?, [0.0; 4]);
/// cpu::backward_from_byte_mask(&dropout, &[1.0f32, 2.0, 3.0, 4.0], &[1, 0, 1, 0], &mut dx)?;
/// assert_eq!(dx, [2.0, 0.0, 6.0, 0.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn backward_from_byte_mask<'a, T: Element>(
    draw: impl Into<Draw<'a>>,
    dy: &[T],
    mask: &[u8],
    dx: &mut [T],
) -> Result<(), SliceError> {
    let draw = draw.into();
    draw.check(dy.len() as u64)?;
    check_bytes(dy.len(), mask)?;
    check_output("dx", dy.len(), dx.len())?;
    given(draw.dropout, ByPieces::Bytes(mask), dy.len(), Data::Apart(dy, dx)).run();
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
/// use wgpu_dropout::{Dropout, cpu};
///
/// let mut gradient = [1.0f32, 2.0, 3.0, 4.0];
/// cpu::backward_from_byte_mask_in_place(&Dropout::new(0.5, 42)?, &mut gradient, &[1, 0, 1, 0])?;
/// assert_eq!(gradient, [2.0, 0.0, 6.0, 0.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn backward_from_byte_mask_in_place<'a, T: Element>(
    draw: impl Into<Draw<'a>>,
    dy: &mut [T],
    mask: &[u8],
) -> Result<(), SliceError> {
    let draw = draw.into();
    draw.check(dy.len() as u64)?;
    check_bytes(dy.len(), mask)?;
    given(draw.dropout, ByPieces::Bytes(mask), dy.len(), Data::InPlace(dy)).run();
    Ok(())
}

/// The bit mask of `len` elements, `ceil(len / 32)` words.
///
/// # Errors
///
/// [`SliceError`] where `mask` has another length, or the elements pass global index 2^64.
///
/// # Examples
///
/// ```
/// use wgpu_dropout::{Dropout, bit_mask_words, cpu};
///
/// let mut mask = vec![0; bit_mask_words(1_000_000) as usize];
/// cpu::bit_mask(&Dropout::new(0.1, 42)?, 1_000_000, &mut mask)?;
/// let kept: u32 = mask.iter().map(|word| word.count_ones()).sum();
/// assert_eq!(kept, 900_077);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn bit_mask<'a>(draw: impl Into<Draw<'a>>, len: usize, mask: &mut [u32]) -> Result<(), SliceError> {
    let draw = draw.into();
    draw.check(len as u64)?;
    check_bits(len, mask)?;
    training::<f32>(draw, len, Data::Mask(Sink::Bits(mask))).run();
    Ok(())
}

/// The byte mask, one byte an element.
///
/// # Errors
///
/// [`SliceError`] where the elements pass global index 2^64.
///
/// # Examples
///
/// ```
/// use wgpu_dropout::{Dropout, cpu};
///
/// let (dropout, mut bytes, mut bits) = (Dropout::new(0.1, 42)?, [0; 32], [0]);
/// cpu::byte_mask(&dropout, &mut bytes)?;
/// cpu::bit_mask(&dropout, 32, &mut bits)?;
/// assert!((0..32).all(|i| u32::from(bytes[i]) == bits[0] >> i & 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn byte_mask<'a>(draw: impl Into<Draw<'a>>, mask: &mut [u8]) -> Result<(), SliceError> {
    let draw = draw.into();
    draw.check(mask.len() as u64)?;
    training::<f32>(draw, mask.len(), Data::Mask(Sink::Bytes(mask))).run();
    Ok(())
}

/// Inference: the identity for inverted dropout, K(x) of every element for classic dropout.
///
/// # Errors
///
/// [`SliceError`] where `y` is not as long as `x`.
///
/// # Examples
///
/// ```
/// use wgpu_dropout::{Dropout, ScaleMode, cpu};
///
/// let (inverted, x, mut y) = (Dropout::new(0.25, 42)?, [4.0f32; 3], [0.0; 3]);
/// cpu::inference(&inverted, &x, &mut y)?;
/// assert_eq!(y, [4.0; 3]);
/// cpu::inference(&inverted.with_scale_mode(ScaleMode::Classic), &x, &mut y)?;
/// assert_eq!(y, [3.0; 3]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn inference<'a, T: Element>(draw: impl Into<Draw<'a>>, x: &[T], y: &mut [T]) -> Result<(), SliceError> {
    let dropout = draw.into().dropout;
    check_output("y", x.len(), y.len())?;
    match dropout.probability.inference_scale(dropout.scale_mode) {
        None => y.copy_from_slice(x),
        Some(scale) => scaled(scale, Source::All, x.len(), Data::Apart(x, y)).run(),
    }
    Ok(())
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
/// use wgpu_dropout::{Dropout, ScaleMode, cpu};
///
/// let (classic, mut x) = (Dropout::new(0.25, 42)?.with_scale_mode(ScaleMode::Classic), [4.0f32; 3]);
/// cpu::inference_in_place(&classic, &mut x)?;
/// assert_eq!(x, [3.0; 3]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn inference_in_place<'a, T: Element>(draw: impl Into<Draw<'a>>, x: &mut [T]) -> Result<(), SliceError> {
    let dropout = draw.into().dropout;
    if let Some(scale) = dropout.probability.inference_scale(dropout.scale_mode) {
        scaled(scale, Source::All, x.len(), Data::InPlace(x)).run();
    }
    Ok(())
}

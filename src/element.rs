//! The element types and the sizes of their tensors and masks.

use half::{bf16, f16};

/// A storage type of tensor elements.
///
/// # Examples
///
/// ```
/// use wgpu_dropout::DType;
///
/// assert_eq!(DType::ALL.map(DType::name), ["f32", "f16", "bf16"]);
/// assert_eq!(DType::ALL.map(DType::bytes), [4, 2, 2]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DType {
    /// IEEE 754 binary32.
    F32,
    /// IEEE 754 binary16.
    F16,
    /// bfloat16: the upper half of a binary32.
    Bf16,
}

impl DType {
    /// Every element type.
    pub const ALL: [Self; 3] = [Self::F32, Self::F16, Self::Bf16];

    /// Bytes of one element: 4 or 2.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
        }
    }

    /// The name: `f32`, `f16` or `bf16`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
        }
    }
}

impl core::fmt::Display for DType {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.pad(self.name())
    }
}

/// How a mask is stored (contract section 7); 1 = kept in both.
///
/// # Examples
///
/// ```
/// use wgpu_dropout::MaskFormat;
///
/// let sizes = MaskFormat::ALL.map(|format| format.buffer_bytes(1_000_001));
/// assert_eq!(sizes, [125_004, 1_000_004]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MaskFormat {
    /// Element i is bit `i % 32`, least significant first, of u32 word `i / 32`.
    Bits,
    /// Element i is byte i.
    Bytes,
}

impl MaskFormat {
    /// Both formats.
    pub const ALL: [Self; 2] = [Self::Bits, Self::Bytes];

    /// Bytes that a mask of `elements` elements takes in whole u32 words, as it lies in a GPU buffer.
    #[must_use]
    pub const fn buffer_bytes(self, elements: u64) -> u64 {
        match self {
            Self::Bits => bit_mask_words(elements) * 4,
            Self::Bytes => elements.div_ceil(4) * 4,
        }
    }
}

/// u32 words of the bit mask of `elements` elements.
///
/// # Examples
///
/// ```
/// use wgpu_dropout::bit_mask_words;
///
/// assert_eq!([0, 1, 32, 33].map(bit_mask_words), [0, 1, 1, 2]);
/// ```
#[must_use]
pub const fn bit_mask_words(elements: u64) -> u64 {
    elements.div_ceil(32)
}

/// A type that dropout works on: `f32`, [`half::f16`] or [`half::bf16`].
///
/// Sealed: the bits of each are fixed by the contract, section 5.
///
/// # Examples
///
/// ```
/// use wgpu_dropout::half::bf16;
/// use wgpu_dropout::{Dropout, Element, SliceError, cpu};
///
/// fn dropped<T: Element>(call: &Dropout, x: &[T]) -> Result<Vec<T>, SliceError> {
///     println!("{} elements of {}", x.len(), T::DTYPE);
///     cpu::forward_to_vec(call, x)
/// }
/// assert_eq!(dropped(&Dropout::new(0.1, 42)?, &[bf16::ONE; 10])?.len(), 10);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Element: bytemuck::Pod + Send + Sync + PartialEq + core::fmt::Debug + sealed::Sealed {
    /// The storage type.
    const DTYPE: DType;
}

impl Element for f32 {
    const DTYPE: DType = DType::F32;
}

impl Element for f16 {
    const DTYPE: DType = DType::F16;
}

impl Element for bf16 {
    const DTYPE: DType = DType::Bf16;
}

pub(crate) mod sealed {
    use super::{bf16, f16};

    /// What only this crate can implement: each path's own K(x).
    pub trait Sealed: crate::reference::Kept + crate::cpu::Scale + crate::cpu::Compiled {}

    impl Sealed for f32 {}
    impl Sealed for f16 {}
    impl Sealed for bf16 {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_and_their_sizes() {
        let all = DType::ALL.map(|dtype| (dtype.to_string(), dtype.bytes()));
        let expected = [
            ("f32", size_of::<f32>()),
            ("f16", size_of::<f16>()),
            ("bf16", size_of::<bf16>()),
        ];
        assert_eq!(all, expected.map(|(name, bytes)| (name.to_owned(), bytes as u64)));
        assert_eq!(format!("{:>5}|{:<5}|", DType::F16, DType::Bf16), "  f16|bf16 |");
    }

    #[test]
    fn masks_take_whole_words() {
        for (elements, words, bits, bytes) in [
            (0, 0, 0, 0),
            (1, 1, 4, 4),
            (4, 1, 4, 4),
            (5, 1, 4, 8),
            (32, 1, 4, 32),
            (33, 2, 8, 36),
            (1 << 63, 1 << 58, 1 << 60, 1 << 63),
        ] {
            assert_eq!(bit_mask_words(elements), words, "{elements}");
            assert_eq!(MaskFormat::Bits.buffer_bytes(elements), bits, "{elements}");
            assert_eq!(MaskFormat::Bytes.buffer_bytes(elements), bytes, "{elements}");
        }
    }
}

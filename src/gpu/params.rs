//! What one dispatch is told. Shader twin: `shaders/params/params.wgsl`, held equal by a test.

use bytemuck::{Pod, Zeroable};

use super::plan::Dispatch;
use super::variant::{Extent, Stream};
use crate::{DType, Dropout, OffsetOverflow};

/// The parameters as the shader reads them.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub(crate) struct Params {
    pub(crate) seed: [u32; 2],
    pub(crate) subsequence: [u32; 2],
    pub(crate) origin: [u32; 2],
    pub(crate) word_shift: u32,
    pub(crate) bit_shift: u32,
    pub(crate) drop_all: u32,
    pub(crate) keep_limit: u32,
    pub(crate) scale: u32,
    pub(crate) fast_min: u32,
    pub(crate) fast_max: u32,
    pub(crate) quiet: u32,
    pub(crate) elements: u32,
    pub(crate) first_invocation: u32,
}

/// Bytes of [`Params`]: the most that WebGPU grants every device as immediates.
pub(crate) const PARAMS_BYTES: u32 = size_of::<Params>() as u32;

/// Which factor applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Training,
    Inference,
}

impl Params {
    /// What all dispatches of a call are told alike; the rest is 0 until [`place`](Self::place).
    ///
    /// `dtype` is `None` where there is no tensor.
    #[inline]
    pub(crate) fn of_call(dropout: &Dropout, phase: Phase, dtype: Option<DType>, has_neighbours: bool) -> Self {
        let probability = &dropout.probability;
        let training_scale = probability.training_scale(dropout.scale_mode);
        let (scale, quiets) = match phase {
            Phase::Training => (training_scale, true),
            // The identity is the exact product with 1 that leaves NaN as it is.
            Phase::Inference => match probability.inference_scale(dropout.scale_mode) {
                Some(scale) => (scale, true),
                None => (1.0, false),
            },
        };
        let (fast_min, fast_max) = match dtype {
            None => (1, 0),
            Some(DType::F16) => FINITE_F16,
            Some(DType::F32 | DType::Bf16) if has_neighbours => fused_range(scale),
            Some(DType::F32 | DType::Bf16) => fast_range(scale),
        };
        Self {
            seed: halves(dropout.seed),
            subsequence: halves(dropout.subsequence),
            drop_all: if probability.keeps_none() { u32::MAX } else { 0 },
            keep_limit: probability.threshold().saturating_sub(1) as u32,
            scale: scale.to_bits(),
            fast_min,
            fast_max,
            quiet: dtype.filter(|_| quiets).map_or(0, quiet_bit),
            ..Self::zeroed()
        }
    }

    /// Makes them those of a dispatch whose window starts at stream index `first` behind the call's offset.
    #[inline]
    pub(crate) fn place(&mut self, dropout: &Dropout, stream: Stream, first: u64, dispatch: Dispatch) {
        let random_bits = dropout.probability.random_bits();
        let lanes = u64::from(random_bits.lanes());
        // Inference draws nothing and its offset may be anything; the caller has checked the others.
        let g = dropout.element_offset.wrapping_add(first);
        let stream_bit = (g % lanes) as u32 * random_bits.bits();
        self.origin = halves(match stream {
            Stream::Aligned | Stream::Shifted => g / lanes,
            Stream::Mapped | Stream::Shared | Stream::Rows | Stream::Columns => g,
        });
        self.word_shift = stream_bit / 32;
        self.bit_shift = stream_bit % 32;
        self.elements = dispatch.elements;
        self.first_invocation = dispatch.first_invocation;
    }
}

/// The parameters of [`mask_wgsl`](super::mask_wgsl)'s text, for a uniform buffer, in the host's byte order.
///
/// # Errors
///
/// [`OffsetOverflow`] where the elements pass global index 2^64.
///
/// # Examples
///
/// ```
/// # mod noop { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/noop.rs")); } use noop::*;
/// # let (device, queue) = device();
/// use wgpu_dropout::Dropout;
/// use wgpu_dropout::gpu::mask_parameters;
///
/// let bytes = mask_parameters(&Dropout::new(0.1, 42)?, 1_000_000)?;
/// let uniform = device.create_buffer(&wgpu::BufferDescriptor {
///     label: None,
///     size: bytes.len() as u64,
///     usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
///     mapped_at_creation: false,
/// });
/// queue.write_buffer(&uniform, 0, &bytes);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn mask_parameters(dropout: &Dropout, elements: u32) -> Result<[u8; PARAMS_BYTES as usize], OffsetOverflow> {
    dropout.check_len(elements.into())?;
    let mut params = Params::of_call(dropout, Phase::Training, None, false);
    let whole = Dispatch {
        first_invocation: 0,
        elements,
        extent: Extent::Whole,
        workgroups: [0; 2],
    };
    params.place(dropout, Stream::Shifted, 0, whole);
    Ok(bytemuck::cast(params))
}

pub(crate) const fn halves(value: u64) -> [u32; 2] {
    [value as u32, (value >> 32) as u32]
}

/// The bit that makes a NaN quiet, left-aligned in a word as the shaders hold elements.
const fn quiet_bit(dtype: DType) -> u32 {
    match dtype {
        DType::F32 | DType::Bf16 => 0x0040_0000,
        DType::F16 => 0x0200_0000,
    }
}

/// Magnitudes of every f16 that is finite and not zero, left-aligned: as f32 it is normal, and so is its product with any
/// scale but 0, which lies in [2^-32, 2^32]. Its kernels need not be told.
const FINITE_F16: (u32, u32) = (0x0001_0000, 0x7bff_0000);

/// Magnitudes `[min, max]` (left-aligned bits) of f32 and bf16 for which x and its product with the scale are normal as
/// f32, so that the hardware's multiply and one rounding on the bits are exact.
///
/// Narrower than need be by up to a binade at either end; what falls outside is done on integers.
/// Empty, with `min` 1 and `max` 0, where the scale is 0.
fn fast_range(scale: f32) -> (u32, u32) {
    if scale == 0.0 {
        return (1, 0);
    }
    // 2^e <= scale < 2^(e + 1).
    let e = (scale.to_bits() >> 23) as i32 - 127;
    let least = (1 - e).max(1);
    let greatest = (253 - e).min(254);
    ((least as u32) << 23, ((greatest as u32 + 1) << 23) - 1)
}

/// Magnitudes `[min, max]` (left-aligned bits) of f32 and bf16 x, bias and residual for which all three operations of the fused
/// dropout are finite, and zero or normal.
///
/// Of f32 numbers of at least 2^-102 every sum is a multiple of 2^-125, and no factor of a kept element is below 1;
/// where the product and the residual cancel, they are at least 2^-103 and their difference a multiple of 2^-126. From
/// above, the sum is below 2^(125 - e), the product below 2^126.
fn fused_range(scale: f32) -> (u32, u32) {
    if scale == 0.0 {
        return (1, 0);
    }
    let e = (scale.to_bits() >> 23) as i32 - 127;
    ((127 - 102) << 23, ((127 + 124 - e.max(0)) as u32 * (1 << 23)) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::layout;
    use crate::{Probability, RandomBits, ScaleMode};

    #[test]
    fn host_and_shader_layouts_agree() {
        let (shader, span) = layout::of_struct(include_str!("../../shaders/params/params.wgsl"), "Params");
        let host = layout::host!(Params: seed subsequence origin word_shift bit_shift drop_all keep_limit scale fast_min fast_max
            quiet elements first_invocation);
        assert_eq!(shader, host);
        assert_eq!(span, PARAMS_BYTES as usize);
        assert_eq!(PARAMS_BYTES, 64);
    }

    #[test]
    fn products_of_the_fast_range_are_normal() {
        let scales = [
            1.0f32,
            1.5,
            1.999_999_9,
            2.0,
            4096.0,
            65_536.0,
            4_294_967_296.0,
            0.5,
            2.0f32.powi(-32),
        ];
        for scale in scales {
            let (min, max) = fast_range(scale);
            for magnitude in [min, max] {
                let x = f32::from_bits(magnitude);
                assert!(x.is_normal() && (x * scale).is_normal(), "{x:e} * {scale}");
            }
            let (min, max) = FINITE_F16;
            for magnitude in [min, max] {
                let x = half::f16::from_bits((magnitude >> 16) as u16);
                assert!(x.is_finite() && (x.to_f32() * scale).is_normal(), "{x} * {scale}");
            }
        }
        assert_eq!(fast_range(0.0), (1, 0));
    }

    #[test]
    fn stream_position_of_a_window() {
        let dropout = Dropout::new(0.5, 0x1_0000_0002)
            .expect("a probability")
            .with_probability(Probability::new(0.5, RandomBits::B8).expect("a probability"))
            .with_subsequence(u64::MAX)
            .with_element_offset((1 << 36) - 16 + 7);
        let mut params = Params::of_call(&dropout, Phase::Training, Some(DType::F32), false);
        let dispatch = Dispatch {
            first_invocation: 9,
            elements: 5,
            extent: Extent::Tail,
            workgroups: [1, 1],
        };
        params.place(&dropout, Stream::Shifted, 32, dispatch);
        assert_eq!(params.seed, [2, 1]);
        assert_eq!(params.subsequence, [u32::MAX; 2]);
        assert_eq!(params.origin, [1, 1]);
        assert_eq!((params.word_shift, params.bit_shift), (1, 24));
        assert_eq!(
            (params.keep_limit, params.elements, params.first_invocation),
            (127, 5, 9)
        );
        params.place(&dropout, Stream::Mapped, 32, dispatch);
        assert_eq!(params.origin, [23, 16]);
    }

    #[test]
    fn inverted_inference_is_the_identity_on_nan_too() {
        let dropout = Dropout::new(0.5, 0).expect("a probability");
        let at = |mode, phase| {
            let params = Params::of_call(&dropout.with_scale_mode(mode), phase, Some(DType::F16), false);
            (f32::from_bits(params.scale), params.quiet)
        };
        assert_eq!(at(ScaleMode::Inverted, Phase::Inference), (1.0, 0));
        assert_eq!(at(ScaleMode::Inverted, Phase::Training), (2.0, 0x0200_0000));
        assert_eq!(at(ScaleMode::Classic, Phase::Inference), (0.5, 0x0200_0000));
        assert_eq!(at(ScaleMode::Classic, Phase::Training), (1.0, 0x0200_0000));
    }
}

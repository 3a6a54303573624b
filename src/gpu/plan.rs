//! How a tensor is cut into windows and dispatches: pure arithmetic, no device.
//!
//! A window is what one bind group covers: it starts at an offset that the device can bind and is no
//! longer than a binding may be. A window's elements that fill whole tiles are one dispatch; what is
//! left over, less than the elements of one invocation, is another. One dispatch is folded into two
//! dimensions of workgroups. Shader twin, where the length is known on the GPU only: `shaders/device/load.wgsl`.

use thiserror::Error;

use super::variant::{Extent, MaskSource, Variant};
use crate::MaskFormat;

/// Elements of a window at most: indices in the shaders are u32, and a dispatch may overshoot.
pub(crate) const MAX_WINDOW_ELEMENTS: u64 = 1 << 30;

/// What a device, or a caller who wants it smaller, allows.
///
/// # Examples
///
/// ```
/// # mod noop { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/noop.rs")); } use noop::*;
/// # let (device, queue, kernels) = kernels()?;
/// use wgpu_dropout::gpu::plan::PlanLimits;
///
/// // The kernels' own, and smaller ones to see how a tensor would be cut.
/// let limits = PlanLimits { max_binding_bytes: 1 << 20, ..kernels.limits() };
/// # assert_eq!(limits.workgroup_size, 64);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlanLimits {
    /// Bytes of a storage binding at most.
    pub max_binding_bytes: u64,
    /// What a binding's offset must be a multiple of, in bytes; a power of two.
    pub offset_alignment: u64,
    /// Workgroups in one dimension of a dispatch at most.
    pub max_workgroups_per_dimension: u32,
    /// Invocations of a workgroup.
    pub workgroup_size: u32,
}

/// What one bind group covers.
///
/// # Examples
///
/// ```
/// # mod noop { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/noop.rs")); } use noop::*;
/// # let (forward, limits) = (FORWARD, LIMITS);
/// use wgpu_dropout::gpu::plan::plan;
///
/// let windows: Vec<_> = plan(forward, 10_000_000, limits)?.collect();
/// // The next one starts where the last one ends, at an offset that the device can bind.
/// assert!(windows.windows(2).all(|pair| pair[0].first + u64::from(pair[0].elements) == pair[1].first));
/// assert!(windows.iter().all(|window| window.first * 4 % limits.offset_alignment == 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Local index of its first element.
    pub first: u64,
    /// Its elements.
    pub elements: u32,
    /// Its dispatches: of whole tiles, of the tail, or both.
    pub dispatches: [Option<Dispatch>; 2],
}

/// One dispatch.
///
/// # Examples
///
/// ```
/// # mod noop { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/noop.rs")); } use noop::*;
/// # let (forward, limits) = (FORWARD, LIMITS);
/// use wgpu_dropout::gpu::plan::plan;
/// use wgpu_dropout::gpu::variant::Extent;
///
/// let window = plan(forward, 1003, limits)?.next().ok_or("no window")?;
/// let [Some(whole), Some(tail)] = window.dispatches else { return Err("two dispatches".into()) };
/// assert_eq!((whole.extent, whole.elements, whole.workgroups), (Extent::Whole, 992, [1, 1]));
/// assert_eq!((tail.extent, tail.first_invocation, tail.elements), (Extent::Tail, 62, 1003));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dispatch {
    /// The number, in its window, of its first invocation.
    pub first_invocation: u32,
    /// Elements from the window's first to the dispatch's last.
    pub elements: u32,
    /// Whether its elements fill whole tiles.
    pub extent: Extent,
    /// Workgroups in x and y; z is 1.
    pub workgroups: [u32; 2],
}

/// No window is possible.
///
/// # Examples
///
/// ```
/// # mod noop { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/noop.rs")); } use noop::*;
/// # let (forward, limits) = (FORWARD, LIMITS);
/// use wgpu_dropout::gpu::plan::{PlanError, PlanLimits, plan};
///
/// let error = plan(forward, 1003, PlanLimits { max_binding_bytes: 128, ..limits }).err().ok_or("planned")?;
/// println!("{error}");
/// assert!(matches!(error, PlanError::Binding { max_binding_bytes: 128, needed_bytes: 256 }));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum PlanError {
    /// Bindings are too small for even one aligned window.
    #[error(
        "a binding of at most {max_binding_bytes} bytes is too small: an aligned window takes {needed_bytes}; \
         request the device with a larger max_storage_buffer_binding_size"
    )]
    Binding {
        /// The limit.
        max_binding_bytes: u64,
        /// What the least window takes.
        needed_bytes: u64,
    },
    /// A window of the longest kind needs more workgroups than two dimensions hold.
    #[error(
        "{workgroups} workgroups of {workgroup_size} do not fit in two dimensions of {max_per_dimension}; \
         request the device with a larger max_compute_workgroups_per_dimension"
    )]
    Workgroups {
        /// Workgroups needed.
        workgroups: u64,
        /// Invocations of each.
        workgroup_size: u32,
        /// The limit.
        max_per_dimension: u32,
    },
}

/// Bytes that `elements` elements take in each of a variant's bindings, whole words each.
fn binding_bytes(variant: &Variant, elements: u64) -> impl Iterator<Item = u64> {
    let tensor = variant
        .tensor
        .map(|tensor| (tensor.dtype.bytes() * elements).div_ceil(4) * 4);
    let mask_in = match variant.mask {
        MaskSource::Stored(format, _) => Some(format.buffer_bytes(elements)),
        MaskSource::Drawn(..) | MaskSource::All => None,
    };
    let mask_out = variant.store.map(|format| format.buffer_bytes(elements));
    [tensor, mask_in, mask_out].into_iter().flatten()
}

/// The least number of elements whose end is a bindable offset in every binding; a power of two.
fn aligned_elements(variant: &Variant, limits: &PlanLimits) -> u64 {
    let has_bits =
        variant.store == Some(MaskFormat::Bits) || matches!(variant.mask, MaskSource::Stored(MaskFormat::Bits, _));
    let has_bytes =
        variant.store == Some(MaskFormat::Bytes) || matches!(variant.mask, MaskSource::Stored(MaskFormat::Bytes, _));
    let alignment = limits.offset_alignment.max(4);
    let of_tensor = variant.tensor.map_or(0, |tensor| alignment / tensor.dtype.bytes());
    let of_bits = if has_bits { alignment * 8 } else { 0 };
    let of_bytes = if has_bytes { alignment } else { 0 };
    of_tensor.max(of_bits).max(of_bytes).max(variant.unit())
}

/// The window length of a variant: a multiple of the aligned length, as long as bindings may be.
///
/// # Errors
///
/// [`PlanError`] where the limits admit no window.
///
/// # Examples
///
/// ```
/// # mod noop { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/noop.rs")); } use noop::*;
/// # let (forward, limits) = (FORWARD, LIMITS);
/// use wgpu_dropout::gpu::plan::window_elements;
///
/// assert_eq!(window_elements(&forward, &limits)?, (1 << 20) / 4);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn window_elements(variant: &Variant, limits: &PlanLimits) -> Result<u64, PlanError> {
    let unit = aligned_elements(variant, limits);
    let unit_bytes = binding_bytes(variant, unit).max().unwrap_or(0).max(1);
    let units = (limits.max_binding_bytes / unit_bytes).min(MAX_WINDOW_ELEMENTS / unit);
    if units == 0 {
        return Err(PlanError::Binding {
            max_binding_bytes: limits.max_binding_bytes,
            needed_bytes: unit_bytes,
        });
    }
    let window = units * unit;
    folded(window.div_ceil(variant.elements_per_invocation()), limits)?;
    Ok(window)
}

/// Folds the workgroups of so many invocations into two dimensions.
pub(crate) fn folded(invocations: u64, limits: &PlanLimits) -> Result<[u32; 2], PlanError> {
    let needed = invocations.div_ceil(u64::from(limits.workgroup_size.max(1)));
    let most = u64::from(limits.max_workgroups_per_dimension);
    let rows = needed.div_ceil(most.max(1)).max(1);
    if rows > most {
        return Err(PlanError::Workgroups {
            workgroups: needed,
            workgroup_size: limits.workgroup_size,
            max_per_dimension: limits.max_workgroups_per_dimension,
        });
    }
    // Rows of equal length overshoot by less than one workgroup a row.
    Ok([needed.div_ceil(rows) as u32, rows as u32])
}

/// The windows of a tensor, in order, without gap or overlap.
///
/// Of a variant of whole tiles, what is left over is a tail's; of a tail's variant, everything. Each dispatch says
/// which one it needs.
///
/// # Errors
///
/// [`PlanError`] where the limits admit no window.
///
/// # Examples
///
/// ```
/// # mod noop { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/noop.rs")); } use noop::*;
/// # let (forward, limits) = (FORWARD, LIMITS);
/// use wgpu_dropout::gpu::plan::{PlanLimits, plan};
///
/// // A tensor of 2^40 elements, by arithmetic alone.
/// let windows = plan(forward, 1 << 40, PlanLimits { max_binding_bytes: 1 << 31, ..limits })?;
/// assert_eq!(windows.map(|window| u64::from(window.elements)).sum::<u64>(), 1 << 40);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn plan(variant: Variant, elements: u64, limits: PlanLimits) -> Result<impl Iterator<Item = Window>, PlanError> {
    let window = window_elements(&variant, &limits)?;
    let unit = variant.unit();
    let dispatch = move |first: u64, elements: u64, extent| {
        // What is left over goes by units, whatever the tile of the rest.
        let of_invocation = match extent {
            Extent::Whole => variant.elements_per_invocation(),
            Extent::Tail => unit,
        };
        let here = elements.saturating_sub(first);
        (here > 0).then(|| Dispatch {
            first_invocation: (first / of_invocation) as u32,
            elements: elements as u32,
            extent,
            // Fits: window_elements has tried the longest.
            workgroups: folded(here.div_ceil(of_invocation), &limits).unwrap_or([0, 0]),
        })
    };
    Ok((0..elements.div_ceil(window)).map(move |index| {
        let first = index * window;
        let length = window.min(elements - first);
        // A mask alone is guarded word by word, so any length is whole.
        let whole = match variant.tensor.map(|tensor| tensor.extent) {
            None => length,
            Some(Extent::Whole) => length / unit * unit,
            Some(Extent::Tail) => 0,
        };
        Window {
            first,
            elements: length as u32,
            dispatches: [dispatch(0, whole, Extent::Whole), dispatch(whole, length, Extent::Tail)],
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::variant::{Access, Input, Multiply, ParameterPath, Stream, Tensor, TileSize};
    use crate::{DType, RandomBits};

    const LIMITS: PlanLimits = PlanLimits {
        max_binding_bytes: 128 << 20,
        offset_alignment: 256,
        max_workgroups_per_dimension: 65_535,
        workgroup_size: 64,
    };

    fn variants() -> impl Iterator<Item = Variant> {
        Variant::all().filter(|variant| {
            variant.multiply == Multiply::Emulated
                && variant.parameters == ParameterPath::Immediates
                && variant.tensor.is_none_or(|tensor| tensor.extent == Extent::Whole)
        })
    }

    fn check(variant: Variant, elements: u64, limits: PlanLimits) {
        let alignment = limits.offset_alignment;
        let mut next = 0;
        for window in plan(variant, elements, limits).expect("limits admit a window") {
            let context = format!("{variant}: {elements} elements, {window:?}");
            assert_eq!(window.first, next, "{context}");
            assert!(window.elements > 0, "{context}");
            for bytes in binding_bytes(&variant, u64::from(window.elements)) {
                assert!(bytes <= limits.max_binding_bytes, "{context}");
            }
            for offset in binding_bytes(&variant, window.first) {
                assert_eq!(offset % alignment, 0, "{context}");
            }
            let mut done = 0;
            for dispatch in window.dispatches.into_iter().flatten() {
                let of_invocation = match dispatch.extent {
                    Extent::Whole => variant.elements_per_invocation(),
                    Extent::Tail => variant.unit(),
                };
                assert_eq!(u64::from(dispatch.first_invocation) * of_invocation, done, "{context}");
                assert!(u64::from(dispatch.elements) > done, "{context}");
                if dispatch.extent == Extent::Whole && variant.tensor.is_some() {
                    assert_eq!(u64::from(dispatch.elements) % variant.unit(), 0, "{context}");
                }
                let [x, y] = dispatch.workgroups;
                assert!(x <= limits.max_workgroups_per_dimension && y <= limits.max_workgroups_per_dimension);
                // Every element has its invocation, and the index of the last invocation's last element
                // fits in u32.
                let invocations = u64::from(x) * u64::from(y) * u64::from(limits.workgroup_size);
                let covered = done + invocations * of_invocation;
                assert!(covered >= u64::from(dispatch.elements), "{context}");
                assert!(u32::try_from(covered).is_ok(), "{context}");
                done = dispatch.elements.into();
            }
            assert_eq!(done, u64::from(window.elements), "{context}");
            next += u64::from(window.elements);
        }
        assert_eq!(next, elements, "{variant}");
    }

    #[test]
    fn every_variant_covers_every_length_once() {
        let lengths = [
            0,
            1,
            2,
            3,
            4,
            5,
            15,
            16,
            17,
            31,
            32,
            33,
            63,
            64,
            65,
            127,
            128,
            2047,
            2048,
            2049,
            4095,
            65_535 * 64 * 16 - 1,
            65_535 * 64 * 16,
            65_535 * 64 * 16 + 1,
            (32 << 20) - 1,
            32 << 20,
            (32 << 20) + 1,
            (64 << 20) + 17,
            (1 << 32) - 1,
            1 << 32,
            (1 << 32) + 1,
        ];
        for variant in variants() {
            for elements in lengths {
                check(variant, elements, LIMITS);
            }
        }
    }

    #[test]
    fn to_two_to_the_40_elements() {
        for variant in variants() {
            for elements in [(1 << 40) - 1, 1 << 40] {
                // Bindings as large as Vulkan's and DX12's, and NVIDIA's largest workgroup.
                let limits = PlanLimits {
                    max_binding_bytes: (1 << 31) - 1,
                    workgroup_size: 1024,
                    ..LIMITS
                };
                check(variant, elements, limits);
                check(variant, elements, LIMITS);
            }
        }
    }

    #[test]
    fn odd_limits() {
        for variant in variants() {
            for (alignment, binding) in [(4, 4096), (32, 3000), (256, 10_000), (4096, 40_000)] {
                for workgroup_size in [1, 2, 7, 32, 256] {
                    let limits = PlanLimits {
                        max_binding_bytes: binding,
                        offset_alignment: alignment,
                        max_workgroups_per_dimension: 50,
                        workgroup_size,
                    };
                    for elements in [1, 1000, 12_345] {
                        if window_elements(&variant, &limits).is_ok() {
                            check(variant, elements, limits);
                        }
                    }
                }
            }
        }
    }

    fn forward(store: Option<MaskFormat>) -> Variant {
        Variant {
            multiply: Multiply::Emulated,
            parameters: ParameterPath::Immediates,
            mask: MaskSource::Drawn(RandomBits::B32, Stream::Aligned),
            tensor: Some(Tensor {
                dtype: DType::F32,
                input: Input::Apart(Access::Read),
                extent: Extent::Whole,
                neighbours: None,
            }),
            store,
            tile: TileSize::Bytes16,
        }
    }

    #[test]
    fn common_lengths_take_one_dispatch() {
        let count = |elements| {
            let windows = plan(forward(None), elements, LIMITS).expect("a plan");
            windows.flat_map(|window| window.dispatches).flatten().count()
        };
        assert_eq!(count(1 << 24), 1);
        assert_eq!(count(1000 * 1000), 1);
        assert_eq!(count((1 << 24) + 1), 2);
        assert_eq!(count(1 << 32), 128);
    }

    #[test]
    fn limits_that_admit_no_window_are_errors() {
        let small = PlanLimits {
            max_binding_bytes: 255,
            ..LIMITS
        };
        assert_eq!(
            window_elements(&forward(None), &small),
            Err(PlanError::Binding {
                max_binding_bytes: 255,
                needed_bytes: 256
            })
        );
        let none = PlanLimits {
            max_workgroups_per_dimension: 0,
            ..LIMITS
        };
        assert!(matches!(
            window_elements(&forward(None), &none),
            Err(PlanError::Workgroups { .. })
        ));
    }

    #[test]
    fn workgroups_fill_two_dimensions() {
        let limits = PlanLimits {
            max_workgroups_per_dimension: 3,
            workgroup_size: 64,
            ..LIMITS
        };
        let of = |invocations| folded(invocations, &limits);
        assert_eq!(of(0), Ok([0, 1]));
        assert_eq!(of(3 * 64), Ok([3, 1]));
        assert_eq!(of(3 * 64 + 1), Ok([2, 2]));
        assert_eq!(of(9 * 64), Ok([3, 3]));
        let error = PlanError::Workgroups {
            workgroups: 10,
            workgroup_size: 64,
            max_per_dimension: 3,
        };
        assert_eq!(of(9 * 64 + 1), Err(error));
    }
}

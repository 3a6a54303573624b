//! What an operation is before it has buffers, and without a device: its variant, its windows, what each of them binds
//! and is told. [`Binding`](super::Binding) is a form with buffers, [`Recipe`](super::Recipe) one in plain data.

use super::BindError;
use super::map::{MapUniform, panels, stream_of};
use super::params::{Params, Phase};
use super::plan::{PlanLimits, Window, folded, plan};
use super::row::Row;
use super::variant::{
    Access, BIAS, Extent, Input, MASK_IN, MASK_OUT, MaskSource, Multiply, ParameterPath, RESIDUAL, Residual, SEEDS,
    Stream, TILE, Tensor, TileSize, Variant, X, Y,
};
use crate::{DType, Dropout, IndexMap, MaskFormat, OffsetOverflow, RandomBits};

/// How the seeds of a tensor lie in their buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SeedsLayout {
    pub(crate) elements_per_seed: u64,
    pub(crate) first_element: u64,
}

/// Which neighbours a fused forward has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NeighboursLayout {
    /// Of the bias, if there is one.
    pub(crate) columns: Option<u64>,
    pub(crate) residual: Residual,
}

/// An operation without its buffers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Form<'a> {
    pub(crate) dtype: DType,
    pub(crate) elements: u64,
    pub(crate) map: Option<&'a IndexMap>,
    pub(crate) seeds: Option<SeedsLayout>,
    pub(crate) phase: Phase,
    /// None where there is no tensor.
    pub(crate) input: Option<Input>,
    pub(crate) mask_in: Option<(MaskFormat, Access)>,
    pub(crate) mask_out: Option<MaskFormat>,
    pub(crate) neighbours: Option<NeighboursLayout>,
    pub(crate) multiply: Multiply,
    pub(crate) parameters: ParameterPath,
    /// What whole tiles are to be.
    pub(crate) tile: TileSize,
    pub(crate) workgroup_size: u32,
}

/// What a call needs to know of a form.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outline {
    /// Of whole tiles, where it may be; random bits, shift and extent are the call's and the dispatch's.
    pub(crate) variant: Variant,
    phase: Phase,
    /// Stream index of the first element, relative to the call's offset.
    first: u64,
    /// The greatest one; None where nothing is drawn.
    last: Option<u64>,
}

/// Checks that a map is the tensor's.
pub(crate) fn check_map(map: Option<&IndexMap>, elements: u64) -> Result<(), BindError> {
    match map {
        Some(map) if map.elements() != elements => Err(BindError::Map {
            elements,
            expected: map.elements(),
        }),
        _ => Ok(()),
    }
}

/// Checks that a tensor is whole rows.
pub(crate) fn check_rows(elements: u64, columns: u64) -> Result<(), BindError> {
    let is_whole = if columns == 0 {
        elements == 0
    } else {
        elements.is_multiple_of(columns)
    };
    if is_whole {
        return Ok(());
    }
    Err(BindError::Rows { elements, columns })
}

/// Bytes of a tensor, whole words.
pub(crate) fn tensor_bytes(elements: u64, dtype: DType) -> Result<u64, BindError> {
    elements
        .checked_mul(dtype.bytes())
        .and_then(|bytes| bytes.checked_next_multiple_of(4))
        .ok_or(BindError::TooLong { elements, dtype })
}

/// Bytes of a bias, which has to fit rows and one binding.
pub(crate) fn bias_bytes(columns: u64, elements: u64, dtype: DType, limits: &PlanLimits) -> Result<u64, BindError> {
    check_rows(elements, columns)?;
    let bytes = tensor_bytes(columns, dtype)?;
    if bytes > limits.max_binding_bytes {
        return Err(BindError::LongRow {
            columns,
            bytes,
            max_binding_bytes: limits.max_binding_bytes,
        });
    }
    Ok(bytes)
}

/// Bytes of seeds, one for each stretch; they have to fit into one binding.
pub(crate) fn seeds_bytes(seeds: SeedsLayout, elements: u64, limits: &PlanLimits) -> Result<u64, BindError> {
    if seeds.elements_per_seed == 0 {
        return Err(BindError::SeedOfNothing);
    }
    let last = seeds.first_element.checked_add(elements);
    let count = last.map_or(u64::MAX, |last| last.div_ceil(seeds.elements_per_seed));
    let bytes = count.saturating_mul(8);
    if bytes > limits.max_binding_bytes {
        return Err(BindError::ManySeeds {
            seeds: count,
            max_binding_bytes: limits.max_binding_bytes,
        });
    }
    Ok(bytes)
}

impl Form<'_> {
    /// Whether it draws; a mask that is read, and none at all, have no use for a map or for seeds.
    fn draws(&self) -> bool {
        self.phase == Phase::Training && self.mask_in.is_none()
    }

    pub(crate) fn outline(&self) -> Outline {
        let of_any_bits = |stream| MaskSource::Drawn(RandomBits::default(), stream);
        let is_mapped = self.seeds.is_some() || self.map.is_some_and(|map| !map.is_contiguous());
        let mut variant = Variant {
            multiply: self.multiply,
            parameters: self.parameters,
            mask: match (self.phase, self.mask_in) {
                (Phase::Inference, _) => MaskSource::All,
                (Phase::Training, Some((format, access))) => MaskSource::Stored(format, access),
                (Phase::Training, None) if is_mapped => of_any_bits(Stream::Mapped),
                (Phase::Training, None) => of_any_bits(Stream::Aligned),
            },
            tensor: self.input.map(|input| Tensor {
                dtype: self.dtype,
                input,
                extent: Extent::Whole,
                neighbours: self.neighbours.map(|neighbours| neighbours.residual),
            }),
            store: self.mask_out,
            tile: self.tile,
        };
        if !u64::from(self.workgroup_size).is_multiple_of(variant.invocations_together()) {
            variant.tile = TileSize::Elements16;
        }
        let columns = self.neighbours.and_then(|neighbours| neighbours.columns);
        let are_tiles = columns.is_none_or(|columns| columns.is_multiple_of(variant.tile_elements()));
        let extent = if are_tiles { Extent::Whole } else { Extent::Tail };
        let mut variant = with_extent(variant, extent);
        if let (Some(map), None, true) = (self.map, self.seeds, variant.has_map() && variant.allows_short_cuts()) {
            variant.mask = of_any_bits(stream_of(map, variant.tile_elements()));
        }
        let last = self.elements.checked_sub(1).filter(|_| self.phase == Phase::Training);
        Outline {
            variant,
            phase: self.phase,
            first: if self.elements == 0 { 0 } else { self.first(0) },
            last: last.map(|last| self.map.map_or(last, IndexMap::last)),
        }
    }

    /// Its windows, in order.
    pub(crate) fn windows(&self, limits: PlanLimits) -> Result<Vec<Window>, BindError> {
        let variant = self.outline().variant;
        let mut windows: Vec<_> = plan(variant, self.elements, limits)?.collect();
        if let (Some(map), true) = (self.map, variant.has_columns()) {
            for window in &mut windows {
                if let [Some(whole), _] = &mut window.dispatches {
                    whole.workgroups = folded(
                        panels(map, window.first, whole.elements, variant.tile_elements()),
                        &limits,
                    )?;
                }
            }
        }
        Ok(windows)
    }

    /// Stream index of a window's first element, relative to the call's offset.
    pub(crate) fn first(&self, window_first: u64) -> u64 {
        self.map.map_or(window_first, |map| map.index(window_first))
    }

    /// Bytes that so many elements take in the binding of a tensor or a mask.
    pub(crate) fn bytes(&self, binding: u32, elements: u64) -> u64 {
        let of_mask = |format: Option<MaskFormat>| format.map_or(0, |format| format.buffer_bytes(elements));
        match binding {
            MASK_IN => of_mask(self.mask_in.map(|(format, _)| format)),
            MASK_OUT => of_mask(self.mask_out),
            _ => (elements * self.dtype.bytes()).next_multiple_of(4),
        }
    }

    /// Whether the operation has what the variant binds.
    pub(crate) fn has(&self, binding: u32) -> bool {
        match binding {
            X => self.input.is_some_and(|input| input != Input::InPlace),
            Y => self.input.is_some(),
            MASK_IN => self.mask_in.is_some(),
            MASK_OUT => self.mask_out.is_some(),
            BIAS => self.neighbours.is_some_and(|neighbours| neighbours.columns.is_some()),
            RESIDUAL => self
                .neighbours
                .is_some_and(|neighbours| neighbours.residual == Residual::Apart),
            SEEDS => self.draws() && self.seeds.is_some(),
            _ => false,
        }
    }

    /// The index map as a window reads it.
    pub(crate) fn map_uniform(&self, window: &Window) -> MapUniform {
        let uniform = MapUniform::new(self.map, window.first);
        match self.seeds {
            Some(seeds) => uniform.with_seeds(seeds.elements_per_seed, seeds.first_element + window.first),
            None => uniform,
        }
    }

    /// Where the rows of a window lie.
    pub(crate) fn row(&self, window: &Window) -> Row {
        let columns = self.neighbours.and_then(|neighbours| neighbours.columns);
        Row::new(columns, window.first, self.outline().variant.tile_elements())
    }
}

impl Outline {
    /// Checks that every element of a call has its place in the stream.
    pub(crate) fn check(&self, dropout: &Dropout) -> Result<(), OffsetOverflow> {
        self.last.map_or(Ok(()), |last| dropout.check_last(last))
    }

    /// The variant that a call takes, and how its stream lies.
    pub(crate) fn variant_for(&self, dropout: &Dropout) -> (Variant, Stream) {
        let mut variant = self.variant;
        // What draws nothing may be told anything about the stream.
        let MaskSource::Drawn(random_bits, stream) = &mut variant.mask else {
            return (variant, Stream::Aligned);
        };
        *random_bits = dropout.probability.random_bits();
        if !dropout.element_offset.wrapping_add(self.first).is_multiple_of(TILE) {
            *stream = match *stream {
                Stream::Aligned => Stream::Shifted,
                Stream::Rows => Stream::Mapped,
                other => other,
            };
        }
        let stream = *stream;
        (variant, stream)
    }

    /// What all dispatches of a call are told alike.
    pub(crate) fn params(&self, dropout: &Dropout) -> Params {
        let dtype = self.variant.tensor.map(|tensor| tensor.dtype);
        let has_neighbours = self.variant.neighbours().is_some();
        Params::of_call(dropout, self.phase, dtype, has_neighbours)
    }
}

/// The variant with the extent of a dispatch; without a tensor there is but one.
pub(crate) fn with_extent(mut variant: Variant, extent: Extent) -> Variant {
    if let Some(tensor) = &mut variant.tensor {
        tensor.extent = extent;
    }
    variant.as_of_its_extent()
}

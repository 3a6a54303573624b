//! A shader variant: one file per slot, joined as text. No preprocessor.
//!
//! | slot | choices |
//! |---|---|
//! | parameters | immediates, uniform |
//! | multiply | emulated, 64-bit integers |
//! | mask source | drawn with 32, 16 or 8 bits, stored bits, stored bytes, all kept |
//! | stream, where drawn | aligned to tiles, shifted, through an index map |
//! | tile | 16 elements, 16 bytes |
//! | element type | f32, f16, bf16, or no tensor (the mask alone) |
//! | buffers | input read-only, input writable, in place |
//! | extent | whole tiles, tail |
//! | neighbours | none; bias and residual, the residual absent, apart or in place |
//! | mask stored | none, bits, bytes |

use super::bias_gradient;
use super::device_call::{ADVANCE, LOAD};
use crate::{DType, MaskFormat, RandomBits};

macro_rules! file {
    ($path:literal) => {
        ShaderFile {
            path: concat!("shaders/", $path),
            text: include_str!(concat!("../../shaders/", $path)),
        }
    };
}
pub(crate) use file;

/// One file of `shaders/`.
///
/// # Examples
///
/// ```
/// # mod noop { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/noop.rs")); } use noop::*;
/// # let (forward, tensor) = (FORWARD, TENSOR);
/// let files = forward.files();
/// assert!(files.iter().any(|file| file.path == "shaders/philox.wgsl" && file.text.contains("fn philox4x32_10")));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ShaderFile {
    /// Path in the repository.
    pub path: &'static str,
    /// Its WGSL text.
    pub text: &'static str,
}

/// How the shader gets 32 x 32 -> 64 bit products.
///
/// # Examples
///
/// ```
/// # mod noop { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/noop.rs")); } use noop::*;
/// # let (forward, tensor) = (FORWARD, TENSOR);
/// use wgpu_dropout::gpu::variant::{Multiply, Variant};
///
/// let emulated = Variant { multiply: Multiply::Emulated, ..forward };
/// assert!(forward.wgsl().contains("u64") && !emulated.wgsl().contains("u64"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Multiply {
    /// From 16-bit halves: every device can.
    Emulated,
    /// Through 64-bit integers: needs [`wgpu::Features::SHADER_INT64`].
    Int64,
}

/// How the parameters of a recording reach the shader.
///
/// # Examples
///
/// ```
/// # mod noop { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/noop.rs")); } use noop::*;
/// # let (forward, tensor) = (FORWARD, TENSOR);
/// use wgpu_dropout::gpu::variant::{ParameterPath, Variant};
///
/// let uniform = Variant { parameters: ParameterPath::Uniform, ..forward };
/// assert!(forward.wgsl().contains("var<immediate>") && uniform.wgsl().contains("var<uniform>"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ParameterPath {
    /// In the pass itself: needs [`wgpu::Features::IMMEDIATES`].
    Immediates,
    /// Through a slot of a uniform buffer that the kernels own: every device can.
    Uniform,
}

/// Whether a binding is declared read-only or writable.
///
/// # Examples
///
/// ```
/// # mod noop { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/noop.rs")); } use noop::*;
/// # let (forward, tensor) = (FORWARD, TENSOR);
/// use wgpu_dropout::gpu::variant::{Access, Input, Tensor, Variant};
///
/// // An input in the output's buffer, though not in its range.
/// let tensor = Tensor { input: Input::Apart(Access::ReadWrite), ..tensor };
/// assert!(!Variant { tensor: Some(tensor), ..forward }.wgsl().contains("storage, read>"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// Nothing in the dispatch writes the buffer.
    Read,
    /// The dispatch writes another range of the same buffer; WebGPU then wants all of its bindings
    /// writable.
    ReadWrite,
}

/// Where the tensor's input is.
///
/// # Examples
///
/// ```
/// # mod noop { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/noop.rs")); } use noop::*;
/// # let (forward, tensor) = (FORWARD, TENSOR);
/// use wgpu_dropout::gpu::variant::{Input, Tensor, Variant};
///
/// let in_place = Variant { tensor: Some(Tensor { input: Input::InPlace, ..tensor }), ..forward };
/// assert!(forward.wgsl().contains("@binding(0)") && !in_place.wgsl().contains("@binding(0)"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Input {
    /// In memory of its own.
    Apart(Access),
    /// In the output's memory.
    InPlace,
}

/// Where keep decisions come from.
///
/// # Examples
///
/// ```
/// # mod noop { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/noop.rs")); } use noop::*;
/// # let (forward, tensor) = (FORWARD, TENSOR);
/// use wgpu_dropout::gpu::variant::{Access, MaskSource, Variant};
/// use wgpu_dropout::MaskFormat;
///
/// let from_bits = Variant { mask: MaskSource::Stored(MaskFormat::Bits, Access::Read), ..forward };
/// assert!(!from_bits.wgsl().contains("philox"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MaskSource {
    /// Drawn from the random stream.
    Drawn(RandomBits, Stream),
    /// Read from a stored mask.
    Stored(MaskFormat, Access),
    /// Every element is kept: inference.
    All,
}

/// Where in the random stream a tensor lies.
///
/// # Examples
///
/// ```
/// # mod noop { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/noop.rs")); } use noop::*;
/// # let (forward, tensor) = (FORWARD, TENSOR);
/// use wgpu_dropout::gpu::variant::{MaskSource, Stream, Variant};
/// use wgpu_dropout::RandomBits;
///
/// // A call whose element offset is no multiple of 16.
/// let shifted = Variant { mask: MaskSource::Drawn(RandomBits::B32, Stream::Shifted), ..forward };
/// assert_ne!(shifted.wgsl(), forward.wgsl());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stream {
    /// The element offset is a multiple of 16, as many elements as the larger tile has: the usual case, and the faster one.
    Aligned,
    /// Anywhere.
    Shifted,
    /// Each element where an index map says.
    Mapped,
    /// The same where whole tiles share a decision each: broadcast over the innermost dimension.
    Shared,
    /// The same where rows are whole tiles that lie in the stream as tiles do.
    Rows,
    /// The same where rows are whole tiles and it is columns that are runs of the stream: dimensions stored in another
    /// order. An invocation has 16 rows of a tile each, so that its workgroups are counted in another way.
    Columns,
}

impl Stream {
    const ALL: [Self; 6] = [
        Self::Aligned,
        Self::Shifted,
        Self::Mapped,
        Self::Shared,
        Self::Rows,
        Self::Columns,
    ];
}

/// Whether a dispatch covers a multiple of 16 elements (32 where bits are stored), whole tiles of either size, or any length.
///
/// # Examples
///
/// ```
/// # mod noop { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/noop.rs")); } use noop::*;
/// # let (forward, tensor) = (FORWARD, TENSOR);
/// use wgpu_dropout::gpu::variant::{Extent, Tensor, Variant};
///
/// let tail = Variant { tensor: Some(Tensor { extent: Extent::Tail, ..tensor }), ..forward };
/// assert!(tail.files().iter().any(|file| file.path == "shaders/extent/tail.wgsl"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Extent {
    /// Whole tiles: 128-bit loads and stores.
    Whole,
    /// Any length, word by word: what is left over after whole tiles, in the stream [`Stream::Shifted`] or
    /// [`Stream::Mapped`]; with neighbours also whole tensors.
    Tail,
}

/// What an invocation has of a tensor of whole tiles: the same bits either way.
///
/// # Examples
///
/// ```
/// # mod noop { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/noop.rs")); } use noop::*;
/// # let (forward, tensor) = (FORWARD, TENSOR);
/// use wgpu_dropout::gpu::variant::{TileSize, Variant};
///
/// let for_a_gpu = Variant { tile: TileSize::Bytes16, ..forward };
/// assert!(forward.wgsl().contains("TILE: u32 = 16u") && for_a_gpu.wgsl().contains("TILE: u32 = 4u"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TileSize {
    /// 16 consecutive elements: what Philox draws for one is drawn once. For software adapters.
    Elements16,
    /// 16 consecutive bytes, so that neighbouring invocations load and store neighbouring bytes: what GPUs want. A block
    /// that decides more elements than that is drawn again by each.
    Bytes16,
}

impl TileSize {
    pub(crate) const ALL: [Self; 2] = [Self::Elements16, Self::Bytes16];
}

/// Where the residual of a fused dropout is.
///
/// # Examples
///
/// ```
/// # mod noop { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/noop.rs")); } use noop::*;
/// # let (forward, tensor) = (FORWARD, TENSOR);
/// use wgpu_dropout::gpu::variant::{Access, Input, Residual, Tensor, Variant};
///
/// let neighbours = Some(Residual::Apart);
/// let tensor = Tensor { input: Input::Apart(Access::ReadWrite), neighbours, ..tensor };
/// let fused = Variant { tensor: Some(tensor), ..forward };
/// assert!(Variant::all().any(|variant| variant == fused));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Residual {
    /// There is none.
    Absent,
    /// In memory of its own.
    Apart,
    /// In the output's memory.
    InPlace,
}

impl Residual {
    pub(crate) const ALL: [Self; 3] = [Self::Absent, Self::Apart, Self::InPlace];
}

/// The tensor that a variant works on.
///
/// # Examples
///
/// ```
/// # mod noop { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/noop.rs")); } use noop::*;
/// # let (forward, tensor) = (FORWARD, TENSOR);
/// use wgpu_dropout::gpu::variant::{Tensor, Variant};
/// use wgpu_dropout::DType;
///
/// for dtype in DType::ALL {
///     let variant = Variant { tensor: Some(Tensor { dtype, ..tensor }), ..forward };
///     assert!(variant.to_string().contains(dtype.name()));
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tensor {
    /// Element type.
    pub dtype: DType,
    /// Where the input is.
    pub input: Input,
    /// Which lengths.
    pub extent: Extent,
    /// Bias and residual in the same pass, if that is asked for; whether there is a bias, the shader is told.
    pub neighbours: Option<Residual>,
}

/// A choice of one file per slot.
///
/// # Examples
///
/// ```
/// # mod noop { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/noop.rs")); } use noop::*;
/// # let (forward, tensor) = (FORWARD, TENSOR);
/// use wgpu_dropout::gpu::variant::Variant;
///
/// assert!(Variant::all().any(|variant| variant == forward));
/// println!("{forward}:\n{}", forward.wgsl());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Variant {
    /// The wide multiply.
    pub multiply: Multiply,
    /// The way of the parameters.
    pub parameters: ParameterPath,
    /// The mask's source.
    pub mask: MaskSource,
    /// The tensor, or `None` for the mask alone.
    pub tensor: Option<Tensor>,
    /// The format the mask is stored in, if it is.
    pub store: Option<MaskFormat>,
    /// The unit of whole tiles; [`TileSize::Elements16`] for masks alone and for tails.
    pub tile: TileSize,
}

/// A storage binding of group 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct StorageBinding {
    pub(crate) index: u32,
    pub(crate) access: Access,
}

/// Elements that a tensor is cut by, whatever the tile: as many as the larger one has; shader twin in tile/elements16.wgsl.
pub(crate) const TILE: u64 = 16;

/// Elements of a word of a bit mask.
const WORD: u64 = 32;

/// Bytes bound where a variant has a binding and the operation has not: a tile, the largest there is, is read all the same.
pub(crate) const NOTHING_BYTES: usize = 64;

pub(crate) const X: u32 = 0;
pub(crate) const Y: u32 = 1;
pub(crate) const MASK_IN: u32 = 2;
pub(crate) const MASK_OUT: u32 = 3;
pub(crate) const MAP: u32 = 4;
pub(crate) const BIAS: u32 = 5;
pub(crate) const RESIDUAL: u32 = 6;
pub(crate) const ROW: u32 = 7;
pub(crate) const SEEDS: u32 = 8;

impl Variant {
    /// Every variant there is, with each way to multiply and each way of the parameters.
    ///
    /// # Examples
    ///
    /// ```
    /// use wgpu_dropout::gpu::{Multiply, Variant};
    ///
    /// // Those that need no 64-bit integers are half of them.
    /// let emulated = Variant::all().filter(|variant| variant.multiply == Multiply::Emulated);
    /// assert_eq!(2 * emulated.count(), Variant::all().count());
    /// ```
    pub fn all() -> impl Iterator<Item = Self> {
        let masks =
            RandomBits::ALL
                .into_iter()
                .flat_map(|bits| Stream::ALL.map(|stream| MaskSource::Drawn(bits, stream)))
                .chain(MaskFormat::ALL.into_iter().flat_map(|format| {
                    [Access::Read, Access::ReadWrite].map(|access| MaskSource::Stored(format, access))
                }))
                .chain([MaskSource::All]);
        let tensors = DType::ALL.into_iter().flat_map(|dtype| {
            let inputs = [
                Input::Apart(Access::Read),
                Input::Apart(Access::ReadWrite),
                Input::InPlace,
            ];
            inputs
                .into_iter()
                .flat_map(move |input| [Extent::Whole, Extent::Tail].map(|extent| (input, extent)))
                .flat_map(move |(input, extent)| {
                    let neighbours = Residual::ALL.into_iter().map(Some).chain([None]);
                    neighbours.map(move |neighbours| Tensor {
                        dtype,
                        input,
                        extent,
                        neighbours,
                    })
                })
        });
        let tensors: Vec<_> = tensors.map(Some).chain([None]).collect();
        let stores = [None, Some(MaskFormat::Bits), Some(MaskFormat::Bytes)];
        masks
            .flat_map(move |mask| {
                let tensors = tensors.clone();
                tensors.into_iter().flat_map(move |tensor| {
                    stores.into_iter().flat_map(move |store| {
                        let variant = move |multiply, parameters, tile| Self {
                            multiply,
                            parameters,
                            mask,
                            tensor,
                            store,
                            tile,
                        };
                        TileSize::ALL.into_iter().flat_map(move |tile| {
                            [Multiply::Emulated, Multiply::Int64]
                                .into_iter()
                                .flat_map(move |multiply| {
                                    [ParameterPath::Immediates, ParameterPath::Uniform]
                                        .map(|parameters| variant(multiply, parameters, tile))
                                })
                        })
                    })
                })
            })
            .filter(Self::is_useful)
    }

    /// A mask is stored only where it was drawn, and there is nothing to do without tensor or store. With neighbours
    /// it is drawn and not stored, inputs are writable, and one of them at most is in place.
    fn is_useful(&self) -> bool {
        let drawn = matches!(self.mask, MaskSource::Drawn(..));
        let has_work = (drawn || self.store.is_none()) && (self.tensor.is_some() || self.store.is_some());
        let fits = match self.tensor.and_then(|tensor| Some((tensor.input, tensor.neighbours?))) {
            None => true,
            Some((Input::Apart(Access::Read), _) | (Input::InPlace, Residual::InPlace)) => false,
            Some(_) => drawn && self.store.is_none(),
        };
        has_work && fits && (!self.has_short_cut() || self.allows_short_cuts()) && self.as_of_its_extent() == *self
    }

    /// The same, but what is left over after whole tiles in tiles of one size, and drawn in one of the two ways in which
    /// everything can be drawn: so few elements are not worth pipelines of their own. With neighbours a tail may be the
    /// whole tensor.
    pub(crate) fn as_of_its_extent(mut self) -> Self {
        if self.tensor.is_none_or(|tensor| tensor.extent == Extent::Tail) {
            self.tile = TileSize::Elements16;
        }
        if let (MaskSource::Drawn(_, stream), Some(tensor)) = (&mut self.mask, self.tensor)
            && tensor.extent == Extent::Tail
            && tensor.neighbours.is_none()
        {
            *stream = match stream {
                Stream::Aligned | Stream::Shifted => Stream::Shifted,
                Stream::Mapped | Stream::Shared | Stream::Rows | Stream::Columns => Stream::Mapped,
            };
        }
        self
    }

    /// Whether it draws its masks in a way that other streams could do without.
    fn has_short_cut(&self) -> bool {
        matches!(
            self.mask,
            MaskSource::Drawn(_, Stream::Shared | Stream::Rows | Stream::Columns)
        )
    }

    /// Whether an invocation has several rows.
    pub(crate) fn has_columns(&self) -> bool {
        matches!(self.mask, MaskSource::Drawn(_, Stream::Columns))
    }

    /// Whether streams that are faster for some maps are worth their pipelines: where nothing is done beside the
    /// dropout.
    pub(crate) fn allows_short_cuts(&self) -> bool {
        self.tensor.is_some_and(|tensor| tensor.neighbours.is_none()) && self.store.is_none()
    }

    /// The files, in the order in which they are joined.
    ///
    /// # Examples
    ///
    /// ```
    /// # mod noop { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/noop.rs")); } use noop::*;
    /// # let (forward, tensor) = (FORWARD, TENSOR);
    /// for file in forward.files() {
    ///     println!("{}: {} lines", file.path, file.text.lines().count());
    /// }
    /// ```
    #[must_use]
    pub fn files(&self) -> Vec<ShaderFile> {
        let mut files = vec![
            file!("params/params.wgsl"),
            match self.parameters {
                ParameterPath::Immediates => file!("params/immediates.wgsl"),
                ParameterPath::Uniform => file!("params/uniform.wgsl"),
            },
            file!("invocation.wgsl"),
            match (self.tile, self.tensor.map(|tensor| tensor.dtype)) {
                (TileSize::Bytes16, Some(DType::F32)) => file!("tile/bytes16_words.wgsl"),
                (TileSize::Bytes16, Some(DType::F16 | DType::Bf16)) => file!("tile/bytes16_halves.wgsl"),
                (TileSize::Bytes16, None) | (TileSize::Elements16, _) => file!("tile/elements16.wgsl"),
            },
            file!("tile.wgsl"),
            match self.multiply {
                Multiply::Emulated => file!("multiply/emulated.wgsl"),
                Multiply::Int64 => file!("multiply/int64.wgsl"),
            },
        ];
        match self.mask {
            MaskSource::Drawn(random_bits, stream) => {
                files.push(file!("philox.wgsl"));
                files.push(match (self.multiply, self.tile) {
                    (Multiply::Emulated, TileSize::Elements16) => file!("rounds/loop.wgsl"),
                    (Multiply::Emulated, TileSize::Bytes16) | (Multiply::Int64, _) => file!("rounds/written_out.wgsl"),
                });
                if self.has_map() {
                    files.extend([file!("buffers/map.wgsl"), file!("stream/wide.wgsl")]);
                }
                files.extend(match stream {
                    Stream::Aligned => vec![
                        file!("stream/share.wgsl"),
                        file!("stream/blocks.wgsl"),
                        file!("stream/aligned.wgsl"),
                    ],
                    Stream::Shifted => vec![file!("stream/share.wgsl"), file!("stream/shifted.wgsl")],
                    Stream::Mapped => vec![file!("stream/mapped.wgsl")],
                    Stream::Shared => vec![file!("stream/index.wgsl"), file!("stream/shared.wgsl")],
                    Stream::Rows => vec![
                        file!("stream/index.wgsl"),
                        file!("stream/share.wgsl"),
                        file!("stream/blocks.wgsl"),
                        file!("stream/rows.wgsl"),
                    ],
                    Stream::Columns => vec![file!("stream/columns.wgsl")],
                });
                let by_lane = matches!(stream, Stream::Mapped | Stream::Shared | Stream::Columns);
                files.push(match (random_bits, by_lane) {
                    (RandomBits::B32, false) => file!("mask/drawn32.wgsl"),
                    (RandomBits::B16, false) => file!("mask/drawn16.wgsl"),
                    (RandomBits::B8, false) => file!("mask/drawn8.wgsl"),
                    (RandomBits::B32, true) => file!("mask/mapped32.wgsl"),
                    (RandomBits::B16, true) => file!("mask/mapped16.wgsl"),
                    (RandomBits::B8, true) => file!("mask/mapped8.wgsl"),
                });
            }
            MaskSource::Stored(format, access) => files.extend([
                match access {
                    Access::Read => file!("buffers/mask_in_read.wgsl"),
                    Access::ReadWrite => file!("buffers/mask_in_read_write.wgsl"),
                },
                match format {
                    MaskFormat::Bits => file!("mask/bits.wgsl"),
                    MaskFormat::Bytes => file!("mask/bytes.wgsl"),
                },
            ]),
            MaskSource::All => files.push(file!("mask/all.wgsl")),
        }
        if let Some(tensor) = self.tensor {
            files.push(match tensor.input {
                Input::Apart(Access::Read) => file!("buffers/x_read.wgsl"),
                Input::Apart(Access::ReadWrite) => file!("buffers/x_read_write.wgsl"),
                Input::InPlace => file!("buffers/x_is_y.wgsl"),
            });
            files.push(file!("buffers/y.wgsl"));
            files.push(match tensor.extent {
                Extent::Whole => file!("extent/whole.wgsl"),
                Extent::Tail => file!("extent/tail.wgsl"),
            });
            if tensor.dtype != DType::F16 || tensor.neighbours.is_some() {
                files.push(file!("element/exact.wgsl"));
            }
            match tensor.dtype {
                DType::F32 => {
                    files.push(file!("element/f32.wgsl"));
                    if tensor.neighbours.is_some() {
                        files.push(file!("element/as_f32.wgsl"));
                    }
                }
                DType::F16 => files.extend([
                    file!("element/halves.wgsl"),
                    file!("element/halves_exact.wgsl"),
                    if self.has_pairs() {
                        file!("element/positive_by_clamp.wgsl")
                    } else {
                        file!("element/positive_by_bits.wgsl")
                    },
                    file!("element/as_f16.wgsl"),
                    file!("element/f16.wgsl"),
                ]),
                DType::Bf16 => files.extend([
                    file!("element/halves.wgsl"),
                    file!("element/halves_exact.wgsl"),
                    file!("element/as_bf16.wgsl"),
                    file!("element/bf16.wgsl"),
                ]),
            }
            if self.has_pairs() {
                files.push(file!("element/pairs.wgsl"));
            } else if tensor.dtype != DType::F32 {
                files.push(file!("element/packed.wgsl"));
            }
            if tensor.extent == Extent::Whole || tensor.neighbours.is_some() {
                files.push(match (tensor.dtype, self.has_pairs()) {
                    (DType::F16, true) => file!("element/finite_pairs.wgsl"),
                    (DType::F16, false) => file!("element/finite.wgsl"),
                    (DType::Bf16, true) => file!("element/range_pairs.wgsl"),
                    (DType::F32 | DType::Bf16, _) => file!("element/range.wgsl"),
                });
            }
            match tensor.neighbours {
                None => {
                    files.push(file!("apply_exact.wgsl"));
                    match tensor.extent {
                        Extent::Whole => {
                            match tensor.dtype {
                                DType::F16 if self.has_pairs() => files.push(file!("element/f16_pairs.wgsl")),
                                DType::Bf16 if self.has_pairs() => files.push(file!("element/bf16_pairs.wgsl")),
                                _ => {}
                            }
                            files.push(if self.has_pairs() {
                                file!("apply_pairs.wgsl")
                            } else {
                                file!("apply.wgsl")
                            });
                            if !self.has_columns() {
                                files.push(file!("apply_tile.wgsl"));
                            }
                        }
                        Extent::Tail => files.push(file!("apply_tail.wgsl")),
                    }
                }
                Some(residual) => {
                    files.extend([
                        file!("fused/row.wgsl"),
                        file!("fused/bias.wgsl"),
                        match residual {
                            Residual::Absent => file!("fused/residual_absent.wgsl"),
                            Residual::Apart => file!("fused/residual_apart.wgsl"),
                            Residual::InPlace => file!("fused/residual_is_y.wgsl"),
                        },
                        match tensor.extent {
                            Extent::Whole => file!("fused/whole.wgsl"),
                            Extent::Tail => file!("fused/tail.wgsl"),
                        },
                        file!("element/sum.wgsl"),
                        file!("fused/exact.wgsl"),
                    ]);
                    files.extend(match (tensor.dtype, self.has_pairs()) {
                        (DType::F32, _) => vec![file!("fused/words.wgsl")],
                        (_, false) => vec![file!("fused/halves_exact.wgsl"), file!("fused/halves.wgsl")],
                        (DType::F16, true) => vec![
                            file!("fused/halves_exact.wgsl"),
                            file!("fused/pairs.wgsl"),
                            file!("fused/f16_pairs.wgsl"),
                        ],
                        (DType::Bf16, true) => vec![
                            file!("fused/halves_exact.wgsl"),
                            file!("fused/pairs.wgsl"),
                            file!("fused/bf16_pairs.wgsl"),
                        ],
                    });
                    if self.has_pairs() {
                        files.push(file!("fused/apply_pairs.wgsl"));
                    } else {
                        files.push(file!("fused/apply.wgsl"));
                    }
                }
            }
        } else {
            files.push(file!("mask_only.wgsl"));
        }
        match self.store {
            None if self.has_columns() => files.push(file!("store/none_columns.wgsl")),
            None => files.push(file!("store/none.wgsl")),
            Some(MaskFormat::Bits) => files.extend([
                file!("buffers/mask_out.wgsl"),
                match self.tile {
                    TileSize::Elements16 => file!("store/bits.wgsl"),
                    TileSize::Bytes16 => file!("store/bits_shared.wgsl"),
                },
            ]),
            Some(MaskFormat::Bytes) => {
                files.extend([file!("buffers/mask_out.wgsl"), file!("store/bytes.wgsl")]);
            }
        }
        files
    }

    /// The WGSL text: the files joined. Entry point `main`, override constant `workgroup_size`.
    ///
    /// # Examples
    ///
    /// ```
    /// # mod noop { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/noop.rs")); } use noop::*;
    /// # let (forward, tensor) = (FORWARD, TENSOR);
    /// let text = forward.wgsl();
    /// assert!(text.contains("fn main(") && text.contains("override workgroup_size"));
    /// ```
    #[must_use]
    pub fn wgsl(&self) -> String {
        joined(&self.files())
    }

    /// Elements that whole tiles are a multiple of, and an invocation of a tail works on: a word of a bit mask is in one
    /// dispatch, whatever the tile.
    pub(crate) const fn unit(&self) -> u64 {
        match self.store {
            Some(MaskFormat::Bits) => WORD,
            None | Some(MaskFormat::Bytes) => TILE,
        }
    }

    /// Elements that one invocation works on.
    pub(crate) fn elements_per_invocation(&self) -> u64 {
        match (self.tile, self.tensor) {
            (TileSize::Bytes16, Some(_)) => self.tile_elements(),
            _ => self.unit(),
        }
    }

    /// Elements of a tile.
    pub(crate) fn tile_elements(&self) -> u64 {
        match (self.tile, self.tensor) {
            (TileSize::Bytes16, Some(tensor)) => 16 / tensor.dtype.bytes(),
            _ => TILE,
        }
    }

    /// What the invocations of a workgroup have to be a multiple of: as many as share a word of a bit mask.
    pub(crate) fn invocations_together(&self) -> u64 {
        match self.store {
            Some(MaskFormat::Bits) => self.unit() / self.elements_per_invocation(),
            None | Some(MaskFormat::Bytes) => 1,
        }
    }

    /// Whether its 16-bit elements stay two a word: not in larger tiles, where processors do better with each in a word of its
    /// own.
    fn has_pairs(&self) -> bool {
        self.tile == TileSize::Bytes16 && self.tensor.is_some_and(|tensor| tensor.dtype != DType::F32)
    }

    /// Whether group 0 also has the uniform of an index map.
    pub(crate) fn has_map(&self) -> bool {
        matches!(
            self.mask,
            MaskSource::Drawn(_, Stream::Mapped | Stream::Shared | Stream::Rows | Stream::Columns)
        )
    }

    /// Bias and residual in the same pass, if it has them.
    pub(crate) fn neighbours(&self) -> Option<Residual> {
        self.tensor.and_then(|tensor| tensor.neighbours)
    }

    /// The storage bindings of group 0, in the order of their indices.
    pub(crate) fn bindings(&self) -> Vec<StorageBinding> {
        let mut bindings = Vec::with_capacity(4);
        if let Some(tensor) = self.tensor {
            if let Input::Apart(access) = tensor.input {
                bindings.push(StorageBinding { index: X, access });
            }
            bindings.push(StorageBinding {
                index: Y,
                access: Access::ReadWrite,
            });
        }
        if let MaskSource::Stored(_, access) = self.mask {
            bindings.push(StorageBinding { index: MASK_IN, access });
        }
        if self.store.is_some() {
            bindings.push(StorageBinding {
                index: MASK_OUT,
                access: Access::ReadWrite,
            });
        }
        let neighbours = match self.neighbours() {
            None => &[][..],
            Some(Residual::Apart) => &[BIAS, RESIDUAL],
            Some(Residual::Absent | Residual::InPlace) => &[BIAS],
        };
        bindings.extend(neighbours.iter().map(|&index| StorageBinding {
            index,
            access: Access::ReadWrite,
        }));
        if self.has_map() {
            bindings.push(StorageBinding {
                index: SEEDS,
                access: Access::ReadWrite,
            });
        }
        bindings
    }
}

/// The WGSL text of the mask alone, to be pasted into a shader of your own: `fn keep_tile(tile: u32) -> Keep` gives
/// the decisions of elements `[16 tile, 16 tile + 16)` as `vec4<bool>` a, b, c and d.
///
/// The text declares its parameters as `@group(1) @binding(0) var<uniform> params: Params`: the 64 bytes that
/// [`mask_parameters`](super::mask_parameters) gives, in a uniform buffer. A kept element's factor is
/// `bitcast<f32>(params.scale)`. It declares no entry point, and nothing in group 0. Multiply by
/// [`Multiply::Int64`] where the device has it.
///
/// An example is `examples/fuse_into_your_kernel.rs`: dropout in a softmax.
///
/// # Examples
///
/// ```
/// use wgpu_dropout::RandomBits;
/// use wgpu_dropout::gpu::{Multiply, mask_wgsl};
///
/// let shader = mask_wgsl(RandomBits::B32, Multiply::Emulated)
///     + "
///     @group(0) @binding(0) var<storage, read_write> kept: array<u32>;
///
///     @compute @workgroup_size(64)
///     fn count(@builtin(global_invocation_id) id: vec3<u32>) {
///         let keep = keep_tile(id.x);
///         let first_four = select(vec4<u32>(0u), vec4<u32>(1u), keep.a);
///         kept[id.x] = first_four.x + first_four.y + first_four.z + first_four.w;
///     }";
/// # mod noop { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/noop.rs")); } use noop::*;
/// # let (device, queue) = device();
/// let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
///     label: None,
///     source: wgpu::ShaderSource::Wgsl(shader.into()),
/// });
/// ```
#[must_use]
pub fn mask_wgsl(random_bits: RandomBits, multiply: Multiply) -> String {
    let drawn = Variant {
        multiply,
        parameters: ParameterPath::Uniform,
        mask: MaskSource::Drawn(random_bits, Stream::Shifted),
        tensor: None,
        store: Some(MaskFormat::Bits),
        tile: TileSize::Elements16,
    };
    // All of the kernel that fills a bit mask, but for what makes it one.
    let kernel_only = [
        "invocation.wgsl",
        "mask_only.wgsl",
        "buffers/mask_out.wgsl",
        "store/bits.wgsl",
    ];
    let files = drawn.files().into_iter();
    let functions = files.filter(|file| {
        kernel_only
            .iter()
            .all(|name| file.path.strip_prefix("shaders/") != Some(name))
    });
    functions.map(|file| file.text).collect::<Vec<_>>().join("\n")
}

/// Every shader of this crate that needs no optional feature, name and WGSL text: what any WebGPU has to accept.
///
/// The variants with [`Multiply::Emulated`] and [`ParameterPath::Uniform`], named as they [`Display`](core::fmt::Display),
/// and those of [`DeviceCall`](super::DeviceCall), [`Advance`](super::Advance) and [`BiasGradient`](super::BiasGradient).
///
/// # Examples
///
/// ```
/// for (name, text) in wgpu_dropout::gpu::variant::portable_wgsl() {
///     assert!(text.contains("@compute"), "{name}");
/// }
/// ```
pub fn portable_wgsl() -> impl Iterator<Item = (String, String)> {
    let portable =
        |variant: &Variant| variant.multiply == Multiply::Emulated && variant.parameters == ParameterPath::Uniform;
    let kernels = Variant::all()
        .filter(portable)
        .map(|variant| (variant.to_string(), variant.wgsl()));
    let gradients = bias_gradient::shaders().map(|(name, files)| (name, joined(&files)));
    let device = [
        ("device-call load".to_owned(), joined(&LOAD)),
        ("device-call advance".to_owned(), joined(&ADVANCE)),
    ];
    kernels.chain(gradients).chain(device)
}

/// The WGSL text of files.
pub(crate) fn joined(files: &[ShaderFile]) -> String {
    files.iter().map(|file| file.text).collect::<Vec<_>>().join("\n")
}

impl core::fmt::Display for Variant {
    /// The choices in words, as they stand in labels and reports.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.tensor {
            Some(tensor) => {
                let input = match tensor.input {
                    Input::Apart(Access::Read) => "",
                    Input::Apart(Access::ReadWrite) => " shared-buffer",
                    Input::InPlace => " in-place",
                };
                let extent = match tensor.extent {
                    Extent::Whole => "whole",
                    Extent::Tail => "tail",
                };
                let neighbours = match tensor.neighbours {
                    None => "",
                    Some(Residual::Absent) => " fused without-residual",
                    Some(Residual::Apart) => " fused",
                    Some(Residual::InPlace) => " fused residual-in-place",
                };
                let tile = match self.tile {
                    TileSize::Elements16 => "",
                    TileSize::Bytes16 => " by-16-bytes",
                };
                write!(f, "{}{input}{neighbours} {extent}{tile}", tensor.dtype)?;
            }
            None => f.write_str("mask")?,
        }
        match self.mask {
            MaskSource::Drawn(bits, Stream::Aligned) => write!(f, " drawn{}", bits.bits())?,
            MaskSource::Drawn(bits, Stream::Shifted) => write!(f, " drawn{} shifted", bits.bits())?,
            MaskSource::Drawn(bits, Stream::Mapped) => write!(f, " drawn{} mapped", bits.bits())?,
            MaskSource::Drawn(bits, Stream::Shared) => write!(f, " drawn{} shared", bits.bits())?,
            MaskSource::Drawn(bits, Stream::Rows) => write!(f, " drawn{} rows", bits.bits())?,
            MaskSource::Drawn(bits, Stream::Columns) => write!(f, " drawn{} columns", bits.bits())?,
            MaskSource::Stored(MaskFormat::Bits, _) => f.write_str(" from-bits")?,
            MaskSource::Stored(MaskFormat::Bytes, _) => f.write_str(" from-bytes")?,
            MaskSource::All => f.write_str(" inference")?,
        }
        if let MaskSource::Stored(_, Access::ReadWrite) = self.mask {
            f.write_str(" shared-mask")?;
        }
        match self.store {
            Some(MaskFormat::Bits) => f.write_str(" to-bits")?,
            Some(MaskFormat::Bytes) => f.write_str(" to-bytes")?,
            None => {}
        }
        f.write_str(match self.multiply {
            Multiply::Emulated => " emulated",
            Multiply::Int64 => " int64",
        })?;
        f.write_str(match self.parameters {
            ParameterPath::Immediates => " immediates",
            ParameterPath::Uniform => " uniform",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeSet, HashSet};

    /// Group 0 of the text, by naga: index and access.
    fn reflected(module: &naga::Module) -> Vec<StorageBinding> {
        let mut bindings: Vec<_> = module
            .global_variables
            .iter()
            .filter_map(|(_, variable)| {
                let naga::AddressSpace::Storage { access } = variable.space else {
                    return None;
                };
                let binding = variable.binding?;
                assert_eq!(binding.group, 0);
                let access = if access.contains(naga::StorageAccess::STORE) {
                    Access::ReadWrite
                } else {
                    Access::Read
                };
                Some(StorageBinding {
                    index: binding.binding,
                    access,
                })
            })
            .collect();
        bindings.sort_by_key(|binding| binding.index);
        bindings
    }

    #[test]
    fn layouts_are_those_of_the_text() {
        for variant in Variant::all() {
            let text = variant.wgsl();
            let module = naga::front::wgsl::parse_str(&text).expect("valid WGSL");
            assert_eq!(reflected(&module), variant.bindings(), "{variant}");
            let parameters = module
                .global_variables
                .iter()
                .filter(|(_, variable)| variable.binding.is_none_or(|binding| binding.group == 1))
                .find_map(|(_, variable)| match variable.space {
                    naga::AddressSpace::Immediate => Some((ParameterPath::Immediates, None)),
                    naga::AddressSpace::Uniform => Some((
                        ParameterPath::Uniform,
                        variable.binding.map(|binding| (binding.group, binding.binding)),
                    )),
                    _ => None,
                });
            let expected = match variant.parameters {
                ParameterPath::Immediates => (ParameterPath::Immediates, None),
                ParameterPath::Uniform => (ParameterPath::Uniform, Some((1, 0))),
            };
            assert_eq!(parameters, Some(expected), "{variant}");
            let maps = module
                .global_variables
                .iter()
                .filter_map(|(_, variable)| match variable.space {
                    naga::AddressSpace::Uniform => variable.binding.filter(|binding| binding.group == 0),
                    _ => None,
                });
            let mut expected = Vec::new();
            expected.extend(variant.has_map().then_some(MAP));
            expected.extend(variant.neighbours().map(|_| ROW));
            assert_eq!(
                maps.map(|binding| binding.binding).collect::<Vec<_>>(),
                expected,
                "{variant}"
            );

            // One entry point, whose workgroup is one override constant long.
            let [entry] = &module.entry_points[..] else {
                panic!("{variant}: one entry point");
            };
            assert_eq!((entry.name.as_str(), entry.stage), ("main", naga::ShaderStage::Compute));
            assert_eq!(entry.workgroup_size[1..], [1, 1]);
            assert!(
                entry.workgroup_size_overrides.is_some_and(|sizes| sizes[0].is_some()),
                "{variant}"
            );
            let names: Vec<_> = module.overrides.iter().filter_map(|(_, o)| o.name.as_deref()).collect();
            assert_eq!(names, ["workgroup_size"], "{variant}");
        }
    }

    #[test]
    fn the_mask_alone_is_functions_and_one_uniform() {
        for random_bits in RandomBits::ALL {
            for multiply in [Multiply::Emulated, Multiply::Int64] {
                let module = naga::front::wgsl::parse_str(&mask_wgsl(random_bits, multiply)).expect("valid WGSL");
                assert!(module.entry_points.is_empty() && module.overrides.is_empty());
                assert_eq!(module.global_variables.len(), 1);
                let is_there = |name: &str| module.functions.iter().any(|(_, f)| f.name.as_deref() == Some(name));
                assert!(is_there("keep_tile"));
            }
        }
    }

    #[test]
    fn variants_are_told_apart_and_use_every_file() {
        let variants: Vec<_> = Variant::all().collect();
        // Masks alone: 3 widths x 3 streams x 2 formats. With a tensor (3 types x 3 inputs), of whole tiles of 2 sizes:
        // drawn (3 widths x 3 streams x 3 stores, and 3 short cuts that store nothing), stored (2 formats x 2 accesses),
        // all kept; of the tail: the same with one size, 2 streams and no short cuts. With neighbours (3 types; tiles of 2
        // sizes and the tail; a residual or none, and none, x or the residual in place): drawn, not stored. Each 2 x 2 ways.
        assert_eq!(
            variants.len(),
            (18 + 9 * 2 * (27 + 9 + 4 + 1) + 9 * (18 + 4 + 1) + 9 * 5 * 9) * 4
        );
        assert_eq!(variants.iter().collect::<HashSet<_>>().len(), variants.len());
        assert_eq!(
            variants.iter().map(ToString::to_string).collect::<HashSet<_>>().len(),
            variants.len()
        );

        let beside = LOAD.into_iter().chain(ADVANCE);
        let used: BTreeSet<_> = variants
            .iter()
            .flat_map(Variant::files)
            .chain(beside)
            .chain(bias_gradient::shaders().flat_map(|(_, files)| files))
            .map(|file| file.path.to_owned())
            .collect();
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut there = BTreeSet::new();
        let mut folders = vec![root.join("shaders")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("a folder") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let path = path
                        .strip_prefix(root)
                        .expect("inside")
                        .to_string_lossy()
                        .replace('\\', "/");
                    there.insert(path);
                }
            }
        }
        assert_eq!(used, there);
    }

    #[test]
    fn every_file_says_its_job_under_its_licence() {
        for file in Variant::all()
            .flat_map(|variant| variant.files())
            .collect::<HashSet<_>>()
        {
            let mut lines = file.text.lines();
            assert_eq!(
                lines.next(),
                Some("// SPDX-License-Identifier: MIT OR Apache-2.0"),
                "{}",
                file.path
            );
            assert!(
                lines.next().is_some_and(|line| line.starts_with("// ")),
                "{}",
                file.path
            );
        }
    }
}

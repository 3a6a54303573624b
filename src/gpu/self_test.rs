//! Every kernel variant against the reference, on a device: what a pipeline runs at start-up and a user
//! on a new GPU.
//!
//! [`run`] compares on bits, outputs and masks, with guard bands around what may be written;
//! [`sweep`] goes through every bit pattern of the element types. Here, and in the tests, is where CPU
//! and GPU code meet.

use rayon::prelude::*;
use thiserror::Error;
use wgpu::BufferBinding;

use super::kernels::{has_immediates, has_int64};
use super::memory::create_buffer;
use super::run::{Download, Job, Placement, Task, run as run_job, wait};
use super::scope::ErrorScopes;
use super::variant::TileSize;
use super::{
    BackwardMask, BindDescriptor, DeviceError, KernelOptions, Kernels, KernelsError, Multiply, Operation,
    ParameterPath, RunError, StoredMask,
};
use crate::draw::Seeds;
use crate::element::bit_mask_words;
use crate::reference;
use crate::{DType, Draw, Dropout, Element, IndexMap, MaskFormat, Probability, RandomBits, ScaleMode, SliceError};
use half::{bf16, f16};

mod multiply;
mod neighbours;

use multiply::{CALLS, compare_multiply};
use neighbours::{FUSED_CASES, GRADIENT_CASES, compare_fused, compare_gradient};

/// The self-test could not be run; that a kernel is wrong is no error but a [`Comparison`].
///
/// # Examples
///
/// ```no_run
/// use wgpu_dropout::gpu::self_test::{self, Comparison, Coverage, SelfTestError};
///
/// # let gpu = wgpu_dropout::gpu::blocking::Context::new()?;
/// # let (device, queue) = (gpu.kernels().device(), gpu.kernels().queue());
/// let compared = pollster::block_on(self_test::run(device, queue, Coverage::Chosen, |_, _| {}));
/// // A device on which nothing can be run is no wrong device.
/// let outcome: Result<Vec<Comparison>, SelfTestError> = compared;
/// if let Err(error) = outcome {
///     println!("{error}");
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum SelfTestError {
    /// An operation could not be run.
    #[error("{operation} could not be run: {source}")]
    Run {
        /// Which operation.
        operation: String,
        /// Why.
        source: RunError,
    },
    /// The kernels can't be built for the device.
    #[error(transparent)]
    Kernels(#[from] KernelsError),
}

/// The first element at which a device differs from the reference.
///
/// # Examples
///
/// ```
/// use wgpu_dropout::gpu::self_test::Difference;
///
/// let difference = Difference {
///     case: "1001 elements from 0, p 0.5".into(),
///     place: "output",
///     index: 6,
///     block_lane: (1, 2),
///     input: Some(0x3f80_0000),
///     expected: 0x4000_0000,
///     actual: 0,
/// };
/// assert_eq!(
///     difference.to_string(),
///     "1001 elements from 0, p 0.5: output 6 (block 1, lane 2) of input 3f800000 is 00000000, \
///      the reference says 40000000"
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Length, offset, probability and mode of the case.
    pub case: String,
    /// What differs: `output`, `mask`, or what may not be written beside them.
    pub place: &'static str,
    /// Local index of the element (of the 4-byte word, for a mask or a guard).
    pub index: u64,
    /// Philox block and lane of the element.
    pub block_lane: (u64, u64),
    /// Bits of the input there, if any.
    pub input: Option<u32>,
    /// The reference's bits.
    pub expected: u32,
    /// The device's bits.
    pub actual: u32,
}

impl core::fmt::Display for Difference {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self {
            case,
            place,
            index,
            block_lane: (block, lane),
            input,
            expected,
            actual,
        } = self;
        write!(f, "{case}: {place} {index} (block {block}, lane {lane})")?;
        if let Some(input) = input {
            write!(f, " of input {input:08x}")?;
        }
        write!(f, " is {actual:08x}, the reference says {expected:08x}")
    }
}

/// What was compared of one operation, and the first difference if there was one.
///
/// # Examples
///
/// ```no_run
/// use wgpu_dropout::gpu::self_test::{self, Coverage};
///
/// # let gpu = wgpu_dropout::gpu::blocking::Context::new()?;
/// # let (device, queue) = (gpu.kernels().device(), gpu.kernels().queue());
/// let compared = pollster::block_on(self_test::run(device, queue, Coverage::Chosen, |_, _| {}));
/// for comparison in compared? {
///     match comparison.difference {
///         None => println!("{}: equal, {} elements", comparison.operation, comparison.elements),
///         Some(difference) => println!("{}: {difference}", comparison.operation),
///     }
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// The operation: element type, task, placement.
    pub operation: String,
    /// How the kernels multiplied and got their parameters.
    pub kernels: String,
    /// Cases run.
    pub cases: u64,
    /// Elements compared.
    pub elements: u64,
    /// The first difference.
    pub difference: Option<Difference>,
}

/// Which kernels a self-test goes through.
///
/// # Examples
///
/// ```no_run
/// use wgpu_dropout::gpu::self_test::{self, Coverage};
///
/// # let gpu = wgpu_dropout::gpu::blocking::Context::new()?;
/// # let (device, queue) = (gpu.kernels().device(), gpu.kernels().queue());
/// let compared = pollster::block_on(self_test::run(device, queue, Coverage::Chosen, |_, _| {}));
/// // That was a check at start-up, of what this program will use. On a new GPU, everything:
/// let compared = pollster::block_on(self_test::run(device, queue, Coverage::Every, |_, _| {}));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Coverage {
    /// The choice that [`Kernels::new`] makes for the device: what a pipeline will use.
    #[default]
    Chosen,
    /// Every way to multiply and every way of the parameters that the device can, and tiles of either size.
    Every,
    /// One way to multiply and one of the parameters, and tiles of either size: one of the [`parts`](Self::parts) of
    /// [`Every`](Self::Every).
    Ways(Multiply, ParameterPath),
}

impl Coverage {
    /// [`Every`](Self::Every) in parts, for those who go through it in several threads, each with a device of its own: the ways
    /// to multiply and of the parameters that devices of these features and limits have. The first is what kernels choose there,
    /// the last what every device has.
    ///
    /// # Examples
    ///
    /// ```
    /// use wgpu_dropout::gpu::self_test::Coverage;
    /// use wgpu_dropout::gpu::{Multiply, ParameterPath};
    /// use wgpu_dropout::wgpu::{Features, Limits};
    ///
    /// // A browser's device.
    /// let parts = Coverage::parts(Features::empty(), &Limits::default());
    /// assert_eq!(parts, [Coverage::Ways(Multiply::Emulated, ParameterPath::Uniform)]);
    /// ```
    #[must_use]
    pub fn parts(features: wgpu::Features, limits: &wgpu::Limits) -> Vec<Self> {
        let multiplies = [Multiply::Int64, Multiply::Emulated].into_iter();
        multiplies
            .filter(|&multiply| multiply == Multiply::Emulated || has_int64(features))
            .flat_map(|multiply| {
                [ParameterPath::Immediates, ParameterPath::Uniform].map(|parameters| (multiply, parameters))
            })
            .filter(|&(_, parameters)| parameters == ParameterPath::Uniform || has_immediates(features, limits))
            .map(|(multiply, parameters)| Self::Ways(multiply, parameters))
            .collect()
    }

    fn options(self) -> KernelOptions {
        match self {
            Self::Chosen | Self::Every => KernelOptions::default(),
            Self::Ways(multiply, parameters) => KernelOptions {
                multiply: Some(multiply),
                parameters: Some(parameters),
                ..KernelOptions::default()
            },
        }
    }

    /// Which of the operations are gone through, with which tiles where these are not the device's: what has no tiles with
    /// the first size of them only.
    fn operations(self, subjects: &[Subject]) -> impl Iterator<Item = (Option<TileSize>, &Subject)> {
        let tiles = match self {
            Self::Chosen => vec![None],
            Self::Every | Self::Ways(..) => TileSize::ALL.map(Some).to_vec(),
        };
        tiles.into_iter().flat_map(move |tile| {
            let has = move |subject: &&Subject| tile.is_none_or(|tile| tile == TileSize::ALL[0]) || subject.has_tiles();
            subjects.iter().filter(has).map(move |subject| (tile, subject))
        })
    }
}

/// A case: how long, from where, how likely.
#[derive(Clone, Copy)]
struct Case {
    elements: u64,
    /// Shape and mask strides of an index map, or neither.
    map: (&'static [u64], &'static [u64]),
    /// Elements that share a seed; 0 where all have the call's.
    elements_per_seed: u64,
    subsequence: u64,
    element_offset: u64,
    p: f64,
    scale_mode: ScaleMode,
}

const fn case(elements: u64, element_offset: u64, p: f64, scale_mode: ScaleMode) -> Case {
    Case {
        elements,
        map: (&[], &[]),
        elements_per_seed: 0,
        subsequence: SUBSEQUENCE,
        element_offset,
        p,
        scale_mode,
    }
}

const fn mapped(shape: &'static [u64], mask_strides: &'static [u64], element_offset: u64, p: f64) -> Case {
    let mut elements = 1;
    let mut n = 0;
    while n < shape.len() {
        elements *= shape[n];
        n += 1;
    }
    Case {
        elements,
        map: (shape, mask_strides),
        elements_per_seed: 0,
        subsequence: SUBSEQUENCE,
        element_offset,
        p,
        scale_mode: ScaleMode::Inverted,
    }
}

const fn seeded(elements_per_seed: u64, case: Case) -> Case {
    Case {
        elements_per_seed,
        ..case
    }
}

/// The first elements of a case.
const fn cut(elements: u64, case: Case) -> Case {
    Case { elements, ..case }
}

/// A seed for each stretch of so many elements; none where there are none.
fn seeds(elements: u64, elements_per_seed: u64) -> Vec<u64> {
    let count = elements.checked_div(elements_per_seed).unwrap_or(0);
    // Halves that differ from each other and from their neighbours'.
    (0..count)
        .map(|n| SEED.wrapping_mul(2 * n + 1).rotate_left(n as u32))
        .collect()
}

impl Case {
    fn map(&self) -> Option<IndexMap> {
        let (shape, mask_strides) = self.map;
        // The table's own are maps, and no case is longer than its map.
        let map = IndexMap::new(shape, mask_strides).ok().filter(|_| !shape.is_empty())?;
        map.window(0, self.elements).ok()
    }
}

/// Elements whose integer of 32 or 16 bits is 0 in the stream of the cases: even they are dropped where p is
/// 1, and they alone are kept where the threshold is 1. Of 8 bits there is one among any few hundred.
const ZERO_OF_32_BITS: u64 = 0x1948_0d2e;
const ZERO_OF_16_BITS: u64 = 0x1_7cf8;

/// The key of the cases.
const SEED: u64 = 0x0123_4567_89ab_cdef;
const SUBSEQUENCE: u64 = 0xfedc_ba98_7654_3210;

/// Lengths around tiles and alignments, offsets around blocks and 2^32 and 2^64, both ends of p.
const CASES: [Case; 41] = {
    use ScaleMode::{Classic, Inverted};
    [
        case(1, 0, 0.5, Inverted),
        case(31, 3, 0.1, Inverted),
        case(512, 0, 0.0, Inverted),
        case(1000, ZERO_OF_32_BITS - 505, 1.0, Inverted),
        case(1000, ZERO_OF_16_BITS - 503, 1.0, Inverted),
        case(4096, (1 << 32) - 2, 0.25, Inverted),
        case(2051, u64::MAX - 2050, 0.9, Inverted),
        // Blocks pass 2^32 within the tensor, at each width of the random bits.
        case(8229, (1 << 34) - 4093, 1.0 - 1.0 / 1048576.0, Inverted),
        case(4099, (1 << 35) - 2047, 0.3, Classic),
        case(777, (1 << 36) - 389, 1e-12, Inverted),
        // The same where tiles and blocks coincide.
        case(4099, (1 << 34) - 2048, 0.4, Inverted),
        case(2050, (1 << 35) - 1024, 0.6, Classic),
        case(1033, (1 << 36) - 512, 0.2, Inverted),
        case(500, ZERO_OF_32_BITS / 16 * 16, 1.0, Inverted),
        case(500, ZERO_OF_16_BITS / 16 * 16, 1.0, Inverted),
        case(100, ZERO_OF_32_BITS / 16 * 16, 1.0 - 1e-13, Inverted),
        // Feature maps that share a decision; rows of a larger tensor, whose blocks pass 2^32 at each width; another
        // dimension order; the same mask over time.
        mapped(&[3, 7, 49], &[7, 1, 0], 3, 0.5),
        mapped(&[13, 77], &[200, 1], (1 << 34) - 1001, 0.1),
        mapped(&[13, 61], &[1 << 35, 1], (1 << 36) - 13, 0.3),
        mapped(&[5, 9, 31], &[300, 1, 10], 0, 0.25),
        mapped(&[4, 5, 64], &[64, 0, 1], u64::MAX - 255, 0.5),
        // The same in whole tiles, which are drawn in a way of their own: maps that share decisions; rows that start as
        // tiles do, and that don't; whose blocks pass 2^32; of which the last is cut.
        mapped(&[3, 7, 48], &[7, 1, 0], 3, 0.5),
        mapped(&[5, 9, 32], &[100, 1, 0], (1 << 36) - 7, 0.2),
        mapped(&[13, 80], &[208, 1], (1 << 34) - 1008, 0.1),
        mapped(&[13, 80], &[208, 1], (1 << 35) - 1001, 0.1),
        cut(805, mapped(&[13, 64], &[1 << 35, 1], (1 << 36) - 16, 0.3)),
        cut(1001, mapped(&[3, 7, 48], &[7, 1, 0], 3, 0.5)),
        // Columns that are runs of the stream: aligned, then not, with blocks that pass 2^32 and rounds of the second
        // dimension that are no multiple of a panel; of which the last is cut.
        mapped(&[3, 32, 48], &[1536, 1, 32], 0, 0.5),
        mapped(&[4, 21, 32], &[1 << 35, 1, 21], (1 << 34) - 301, 0.3),
        cut(1401, mapped(&[50, 32], &[1, 1 << 36], (1 << 36) - 25, 0.6)),
        // All three in whole tiles of 16 bytes alone, of each type and of f32.
        mapped(&[5, 3, 24], &[7, 1, 0], (1 << 34) - 5, 0.3),
        mapped(&[11, 72], &[104, 1], (1 << 34) - 1008, 0.4),
        mapped(&[9, 100], &[108, 1], (1 << 35) - 800, 0.1),
        mapped(&[2, 35, 24], &[1 << 36, 1, 35], (1 << 36) - 25, 0.5),
        mapped(&[3, 21, 20], &[1 << 35, 1, 21], (1 << 35) - 301, 0.2),
        // Runs far shorter than a tile, and strides that only 64 bits hold.
        mapped(&[7, 3, 5, 2, 3], &[1 << 60, 7, 0, 0xffff_ffff_ffff, 0], 11, 0.6),
        // Nothing is kept, not even the zeros.
        mapped(
            &[2, 40, 3],
            &[ZERO_OF_32_BITS - ZERO_OF_16_BITS, 1, 0],
            ZERO_OF_16_BITS - 20,
            1.0,
        ),
        // A seed for each row, where blocks pass 2^32; for rows that draw alike; for each pixel, in runs of three that
        // share a decision; for each element.
        seeded(77, case(1001, (1 << 34) - 501, 0.5, Inverted)),
        seeded(61, mapped(&[13, 61], &[0, 1], 5, 0.3)),
        seeded(39, mapped(&[7, 13, 3], &[13, 1, 0], 0, 0.4)),
        seeded(1, case(200, 9, 0.5, Inverted)),
    ]
};

/// Bytes after an output that must come back untouched.
const GUARD: usize = 64;
const SENTINEL: u8 = 0xca;

/// Input bits: tiles of ordinary numbers and tiles with every kind of special one take turns, so that
/// both the fast and the exact path are taken, each next to the other.
fn painted(dtype: DType, elements: u64, what: u64) -> Vec<u8> {
    let specials: &[u32] = match dtype {
        DType::F32 => &[
            0,
            0x8000_0000,
            1,
            0x8000_0001,
            0x007f_ffff,
            0x0080_0000,
            0x3f80_0000,
            0xbf80_0000,
            0x7f7f_ffff,
            0xff7f_ffff,
            0x7f80_0000,
            0xff80_0000,
            0x7fc0_0000,
            0x7f80_0001,
            0xffa5_a5a5,
            0x7fff_ffff,
        ],
        DType::F16 => &[
            0, 0x8000, 1, 0x8001, 0x03ff, 0x0400, 0x3c00, 0xbc00, 0x7bff, 0xfbff, 0x7c00, 0xfc00, 0x7e00, 0x7c01,
            0xfdaa, 0x7fff,
        ],
        DType::Bf16 => &[
            0, 0x8000, 1, 0x8001, 0x007f, 0x0080, 0x3f80, 0xbf80, 0x7f7f, 0xff7f, 0x7f80, 0xff80, 0x7fc0, 0x7f81,
            0xffa5, 0x7fff,
        ],
    };
    let mut words = crate::Philox4x32::new(0x5eed + what, dtype as u64);
    let mut bytes = Vec::with_capacity((elements * dtype.bytes()) as usize);
    for i in 0..elements {
        let random = rand_core::Rng::next_u32(&mut words);
        let bits = match (i / 16) % 4 {
            // Magnitudes in [2^-4, 2^4), or zero of either sign.
            0 | 1 if random % 8 == 0 => random & 0x8000_0000,
            0 | 1 => (random & 0x807f_ffff) | (123 + (random >> 23) % 8) << 23,
            2 => random,
            _ => specials[(random >> 8) as usize % specials.len()] << (32 - 8 * dtype.bytes()),
        };
        // The ordinary f16 go through the conversion, for their exponents to be f16's.
        let ordinary = (i / 16) % 4 < 2;
        match dtype {
            DType::F32 => bytes.extend(bits.to_ne_bytes()),
            DType::F16 if ordinary => bytes.extend(f16::from_f32(f32::from_bits(bits)).to_ne_bytes()),
            DType::F16 | DType::Bf16 => bytes.extend(((bits >> 16) as u16).to_ne_bytes()),
        }
    }
    bytes
}

/// Input and output apart in one buffer.
const TENSORS_SHARE: Placement = Placement {
    buffers: [0, 0, 2, 3, 4, 5, 6],
    ..Placement::APART
};
/// Output and stored mask apart in one buffer.
const MASK_SHARES: Placement = Placement {
    buffers: [0, 1, 1, 3, 4, 5, 6],
    ..Placement::APART
};
/// Everything apart in one buffer.
const ALL_SHARE: Placement = Placement {
    buffers: [0; 7],
    ..Placement::APART
};
/// In place, with the stored mask in the same buffer.
const MASK_SHARES_IN_PLACE: Placement = Placement {
    buffers: [0, 1, 1, 3, 4, 5, 6],
    ..Placement::IN_PLACE
};
/// The output where the residual was.
const RESIDUAL_IN_PLACE: Placement = Placement {
    residual_in_place: true,
    ..Placement::APART
};

/// What is compared.
#[derive(Clone, Copy)]
enum What {
    /// A job of a binding.
    Do(Task),
    BiasGradient,
    /// The wide multiply, through bit masks.
    Multiply,
}

/// An operation of the table.
#[derive(Clone, Copy)]
struct Subject {
    what: What,
    dtype: DType,
    random_bits: RandomBits,
    placement: Placement,
}

impl Subject {
    /// Every operation there is; each shader variant is reached by at least one.
    fn all() -> Vec<Self> {
        let mut subjects = vec![Self {
            what: What::Multiply,
            dtype: DType::F32,
            random_bits: RandomBits::B32,
            placement: Placement::APART,
        }];
        for random_bits in RandomBits::ALL {
            for format in MaskFormat::ALL {
                subjects.push(Self {
                    what: What::Do(Task::Mask(format)),
                    dtype: DType::F32,
                    random_bits,
                    placement: Placement::APART,
                });
            }
        }
        for dtype in DType::ALL {
            for placement in [Placement::APART, TENSORS_SHARE, Placement::IN_PLACE] {
                let mut push = |task, random_bits| {
                    subjects.push(Self {
                        what: What::Do(task),
                        dtype,
                        random_bits,
                        placement,
                    });
                };
                for random_bits in RandomBits::ALL {
                    push(Task::Forward(None), random_bits);
                    push(Task::Forward(Some(MaskFormat::Bits)), random_bits);
                    push(Task::Forward(Some(MaskFormat::Bytes)), random_bits);
                    push(Task::Backward(None), random_bits);
                }
                push(Task::Inference, RandomBits::B32);
            }
            subjects.push(Self {
                what: What::BiasGradient,
                dtype,
                random_bits: RandomBits::B32,
                placement: Placement::APART,
            });
            for placement in [Placement::APART, ALL_SHARE, Placement::IN_PLACE, RESIDUAL_IN_PLACE] {
                subjects.extend(RandomBits::ALL.map(|random_bits| Self {
                    what: What::Do(Task::ForwardFused),
                    dtype,
                    random_bits,
                    placement,
                }));
            }
            for placement in [
                Placement::APART,
                TENSORS_SHARE,
                MASK_SHARES,
                ALL_SHARE,
                Placement::IN_PLACE,
                MASK_SHARES_IN_PLACE,
            ] {
                for format in MaskFormat::ALL {
                    subjects.push(Self {
                        what: What::Do(Task::Backward(Some(format))),
                        dtype,
                        random_bits: RandomBits::B32,
                        placement,
                    });
                }
            }
        }
        subjects
    }

    /// Whether it comes out another kernel where tiles have another size.
    fn has_tiles(&self) -> bool {
        !matches!(self.what, What::Do(Task::Mask(_)) | What::BiasGradient | What::Multiply)
    }

    fn name(&self) -> String {
        let task = match self.what {
            What::Do(Task::Forward(None)) => "forward",
            What::Do(Task::ForwardFused) => "fused forward",
            What::Do(Task::Forward(Some(MaskFormat::Bits))) => "forward storing bits",
            What::Do(Task::Forward(Some(MaskFormat::Bytes))) => "forward storing bytes",
            What::Do(Task::Backward(None)) => "backward",
            What::Do(Task::Backward(Some(MaskFormat::Bits))) => "backward from bits",
            What::Do(Task::Backward(Some(MaskFormat::Bytes))) => "backward from bytes",
            What::Do(Task::Mask(MaskFormat::Bits)) => "bit mask",
            What::Do(Task::Mask(MaskFormat::Bytes)) => "byte mask",
            What::Do(Task::Inference) => "inference",
            What::BiasGradient => "gradient of a bias",
            What::Multiply => "multiply at its edges",
        };
        let placement = match self.placement {
            Placement::APART => "",
            Placement::IN_PLACE => ", in place",
            MASK_SHARES_IN_PLACE => ", in place, mask in the same buffer",
            RESIDUAL_IN_PLACE => ", residual in place",
            TENSORS_SHARE => ", tensors in one buffer",
            MASK_SHARES => ", output and mask in one buffer",
            _ => ", all in one buffer",
        };
        let dtype = match self.what {
            What::Do(Task::Mask(_)) | What::Multiply => "",
            _ => self.dtype.name(),
        };
        format!("{dtype} {task}, {} bits{placement}", self.random_bits.bits())
            .trim_start()
            .to_owned()
    }
}

/// What the reference says: output and mask.
fn expected(
    task: Task,
    dtype: DType,
    draw: Draw<'_>,
    elements: u64,
    input: &[u8],
) -> Result<(Vec<u8>, Vec<u8>), SliceError> {
    fn tensor<T: Element>(task: Task, draw: Draw<'_>, input: &[u8]) -> Result<Vec<u8>, SliceError> {
        let mut y: Vec<T> = bytemuck::pod_collect_to_vec(input);
        match task {
            Task::Inference => reference::inference_in_place(draw, &mut y)?,
            _ => reference::forward_in_place(draw, &mut y)?,
        }
        Ok(bytemuck::cast_slice(&y).to_vec())
    }
    let output = match (task, dtype) {
        (Task::Mask(_), _) => Vec::new(),
        (_, DType::F32) => tensor::<f32>(task, draw, input)?,
        (_, DType::F16) => tensor::<f16>(task, draw, input)?,
        (_, DType::Bf16) => tensor::<bf16>(task, draw, input)?,
    };
    let mask = match task {
        Task::Forward(Some(format)) | Task::Backward(Some(format)) | Task::Mask(format) => {
            mask_bytes(format, draw, elements)?
        }
        _ => Vec::new(),
    };
    Ok((output, mask))
}

/// The reference's mask as it lies in a buffer, whole words.
fn mask_bytes(format: MaskFormat, draw: Draw<'_>, elements: u64) -> Result<Vec<u8>, SliceError> {
    match format {
        MaskFormat::Bits => {
            let mut mask = vec![0u32; bit_mask_words(elements) as usize];
            reference::bit_mask(draw, elements as usize, &mut mask)?;
            Ok(bytemuck::cast_slice(&mask).to_vec())
        }
        MaskFormat::Bytes => {
            let mut mask = vec![0u8; elements as usize];
            reference::byte_mask(draw, &mut mask)?;
            mask.resize(mask.len().next_multiple_of(4), 0);
            Ok(mask)
        }
    }
}

fn guarded(bytes: usize) -> Vec<u8> {
    vec![SENTINEL; if bytes == 0 { 0 } else { bytes + GUARD }]
}

/// The first difference in an output, or in the guard after it.
fn first_outside(expected: &[u8], output: &[u8], unit: usize) -> Option<(&'static str, (u64, u32, u32))> {
    let (tensor, guard) = output.split_at(expected.len());
    let in_tensor = first_difference(expected, tensor, unit).map(|found| ("output", found));
    let in_guard = || first_difference(&vec![SENTINEL; guard.len()], guard, 4);
    in_tensor.or_else(|| in_guard().map(|found| ("guard after the output, word", found)))
}

/// The first unit of `unit` bytes in which two equally long byte strings differ.
fn first_difference(expected: &[u8], actual: &[u8], unit: usize) -> Option<(u64, u32, u32)> {
    let bits = |unit: &[u8]| unit.iter().rev().fold(0, |bits, &byte| bits << 8 | u32::from(byte));
    expected
        .chunks(unit)
        .zip(actual.chunks(unit))
        .enumerate()
        .find(|(_, (e, a))| e != a)
        .map(|(i, (e, a))| (i as u64, bits(e), bits(a)))
}

impl Subject {
    /// Cases of the table that it goes through.
    fn cases(&self) -> usize {
        match self.what {
            What::BiasGradient => GRADIENT_CASES.len(),
            What::Multiply => CALLS,
            What::Do(Task::ForwardFused) => FUSED_CASES.len(),
            What::Do(_) => CASES.len(),
        }
    }
}

/// One case: how many elements were compared, and the first that differs.
async fn compare_nth(kernels: &Kernels, subject: &Subject, n: usize) -> Result<(u64, Option<Difference>), RunError> {
    match subject.what {
        What::BiasGradient => compare_gradient(kernels, subject, GRADIENT_CASES[n]).await,
        What::Multiply => compare_multiply(kernels, subject, n).await,
        What::Do(Task::ForwardFused) => compare_fused(kernels, subject, &FUSED_CASES[n]).await,
        What::Do(task) => {
            let difference = compare_case(kernels, subject, task, &CASES[n]).await?;
            Ok((CASES[n].elements, difference))
        }
    }
}

async fn compare_case(
    kernels: &Kernels,
    subject: &Subject,
    task: Task,
    case: &Case,
) -> Result<Option<Difference>, RunError> {
    let dropout = Dropout {
        probability: Probability::new(case.p, subject.random_bits).map_err(|_| unreachable_case())?,
        scale_mode: case.scale_mode,
        seed: SEED,
        subsequence: case.subsequence,
        element_offset: case.element_offset,
    };
    let elements = case.elements;
    let has_tensor = !matches!(task, Task::Mask(_));
    let input = if has_tensor {
        painted(subject.dtype, elements, 0)
    } else {
        Vec::new()
    };
    let map = case.map();
    let seeds = seeds(elements, case.elements_per_seed);
    let draw = Draw {
        dropout: &dropout,
        map: map.as_ref(),
        seeds: (!seeds.is_empty()).then_some(Seeds {
            values: &seeds,
            elements_per_seed: case.elements_per_seed,
        }),
    };
    let (expected_output, expected_mask) = expected(task, subject.dtype, draw, elements, &input)?;
    let stores = matches!(task, Task::Forward(Some(_)) | Task::Mask(_));
    let mut output = guarded(expected_output.len());
    let in_place = subject.placement.in_place;
    if in_place {
        output[..input.len()].copy_from_slice(&input);
    }
    let mut mask_out = guarded(if stores { expected_mask.len() } else { 0 });
    run_job(
        kernels,
        Job {
            draw,
            first_element: 0,
            task,
            dtype: subject.dtype,
            elements,
            placement: subject.placement,
            prefill: true,
            input: if in_place { &[] } else { &input },
            output: &mut output,
            bias: None,
            residual: None,
            mask_in: if stores { &[] } else { &expected_mask },
            mask_out: &mut mask_out,
        },
    )
    .await?;

    let unit = subject.dtype.bytes() as usize;
    let lanes = u64::from(subject.random_bits.lanes());
    let shape = match case.map {
        ([], _) => String::new(),
        (shape, mask_strides) => format!(" ({shape:?} with mask strides {mask_strides:?})"),
    };
    let seeds = match case.elements_per_seed {
        0 => String::new(),
        elements => format!(", a seed for each {elements}"),
    };
    let case = format!(
        "{elements} elements{shape}{seeds} from {:#x}, p {}, {:?}",
        case.element_offset, case.p, case.scale_mode
    );
    let difference = |place, (index, expected, actual): (u64, u32, u32), elements_a_unit: u64, has_input: bool| {
        let element = index * elements_a_unit;
        // A padding bit of a mask word has no place of its own.
        let g = draw.global(element.min(elements - 1));
        let input = has_input.then(|| {
            let at = element as usize * unit;
            input[at..at + unit]
                .iter()
                .rev()
                .fold(0, |bits, &byte| bits << 8 | u32::from(byte))
        });
        Difference {
            case: case.clone(),
            place,
            index,
            block_lane: (g / lanes, g % lanes),
            input,
            expected,
            actual,
        }
    };

    let (tensor, guard) = output.split_at(expected_output.len());
    if let Some(found) = first_difference(&expected_output, tensor, unit) {
        return Ok(Some(difference("output", found, 1, true)));
    }
    if let Some(found) = first_difference(&vec![SENTINEL; guard.len()], guard, 4) {
        return Ok(Some(difference("guard after the output, word", found, 0, false)));
    }
    if stores {
        let (mask, guard) = mask_out.split_at(expected_mask.len());
        let elements_a_word = if expected_mask.len() as u64 == elements.next_multiple_of(4) {
            4
        } else {
            32
        };
        if let Some(found) = first_difference(&expected_mask, mask, 4) {
            return Ok(Some(difference("mask word", found, elements_a_word, false)));
        }
        if let Some(found) = first_difference(&vec![SENTINEL; guard.len()], guard, 4) {
            return Ok(Some(difference("guard after the mask, word", found, 0, false)));
        }
    }
    Ok(None)
}

fn unreachable_case() -> RunError {
    DeviceError::Validation("the self-test's own table holds a p outside [0, 1]".to_owned()).into()
}

/// The choices of kernels in a few words.
fn describe(kernels: &Kernels) -> String {
    let multiply = match kernels.multiply() {
        Multiply::Emulated => "emulated",
        Multiply::Int64 => "int64",
    };
    let parameters = match kernels.parameters() {
        ParameterPath::Immediates => "immediates",
        ParameterPath::Uniform => "uniform",
    };
    let tile = match kernels.tile() {
        TileSize::Elements16 => "16 elements",
        TileSize::Bytes16 => "16 bytes",
    };
    format!("{multiply}, {parameters}, {tile}")
}

/// Compares every operation, and so every shader variant, with the reference on a device.
///
/// Creates small buffers, submits and waits; in a browser it yields instead of waiting. `progress` is
/// called after each operation with how many are done and how many there are.
///
/// # Errors
///
/// [`SelfTestError`] where an operation could not be run at all. A wrong result is a [`Comparison`]
/// with a [`Difference`].
///
/// # Examples
///
/// ```no_run
/// use wgpu_dropout::gpu::{blocking, self_test};
///
/// let gpu = blocking::Context::new()?;
/// let (device, queue) = (gpu.kernels().device(), gpu.kernels().queue());
/// let report = pollster::block_on(self_test::run(device, queue, self_test::Coverage::Chosen, |_, _| {}))?;
/// assert!(report.iter().all(|comparison| comparison.difference.is_none()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub async fn run(
    device: &wgpu::Device,
    queue: &wgpu::Queue,
    coverage: Coverage,
    mut progress: impl FnMut(usize, usize),
) -> Result<Vec<Comparison>, SelfTestError> {
    let parts = match coverage {
        Coverage::Every => Coverage::parts(device.features(), &device.limits()),
        part => vec![part],
    };
    let subjects = Subject::all();
    let total = parts.iter().map(|part| part.operations(&subjects).count()).sum();
    let mut comparisons = Vec::with_capacity(total);
    for part in parts {
        // New kernels for each element type, since hardly a pipeline serves two and some drivers keep megabytes for each.
        for of_one_type in subjects.chunk_by(|a, b| a.dtype == b.dtype) {
            let kernels = Kernels::with_options(device, queue, &part.options())?;
            for (tile, subject) in part.operations(of_one_type) {
                let kernels = tile.map_or_else(|| kernels.clone(), |tile| kernels.with_tile(tile));
                comparisons.push(compare(&kernels, subject).await?);
                progress(comparisons.len(), total);
            }
        }
    }
    Ok(comparisons)
}

/// Every case of an operation, up to the first that differs.
async fn compare(kernels: &Kernels, subject: &Subject) -> Result<Comparison, SelfTestError> {
    let mut comparison = Comparison {
        operation: subject.name(),
        kernels: describe(kernels),
        cases: 0,
        elements: 0,
        difference: None,
    };
    for n in 0..subject.cases() {
        let compared = compare_nth(kernels, subject, n).await;
        let (elements, difference) = compared.map_err(|source| SelfTestError::Run {
            operation: subject.name(),
            source,
        })?;
        comparison.cases += 1;
        comparison.elements += elements;
        if difference.is_some() {
            comparison.difference = difference;
            break;
        }
    }
    Ok(comparison)
}

/// Elements of one window of a sweep.
const SWEEP_WINDOW: u64 = 1 << 25;

/// A factor of the sweep and the way to it.
struct Factor {
    phase: &'static str,
    dropout: Dropout,
    scale: f32,
}

/// An ordinary factor and the extreme one, each way: training (2^32 at most, through an all-kept bit
/// mask) and inference (2^-32 at least).
fn factors() -> Vec<Factor> {
    let at = |p: f64, scale_mode| {
        Probability::new(p, RandomBits::B32).ok().map(|probability| Dropout {
            probability,
            scale_mode,
            seed: 0,
            subsequence: 0,
            element_offset: 0,
        })
    };
    let training = [0.1, 1.0 - 1e-12]
        .into_iter()
        .filter_map(|p| at(p, ScaleMode::Inverted))
        .map(|dropout| Factor {
            phase: "training",
            scale: dropout.probability.training_scale(dropout.scale_mode),
            dropout,
        });
    let inference = [0.1, 1.0 - 1e-12]
        .into_iter()
        .filter_map(|p| at(p, ScaleMode::Classic))
        .filter_map(|dropout| {
            Some(Factor {
                phase: "inference",
                scale: dropout.probability.inference_scale(dropout.scale_mode)?,
                dropout,
            })
        });
    training.chain(inference).collect()
}

/// Compares K(x) with the reference for every bit pattern of an element type, at several scales.
///
/// 2^32 patterns of f32 take about a minute on a software adapter; 2^16 of the other types no time.
/// `progress` is called with patterns done and patterns to do.
///
/// # Errors
///
/// [`SelfTestError`] where the sweep could not be run.
///
/// # Examples
///
/// ```no_run
/// use wgpu_dropout::DType;
/// use wgpu_dropout::gpu::{blocking, self_test};
///
/// let gpu = blocking::Context::new()?;
/// let print = |done, of| println!("{done} of {of}");
/// let compared = pollster::block_on(self_test::sweep(gpu.kernels(), DType::F16, print))?;
/// assert!(compared.iter().all(|comparison| comparison.difference.is_none()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub async fn sweep(
    kernels: &Kernels,
    dtype: DType,
    progress: impl FnMut(u64, u64),
) -> Result<Vec<Comparison>, SelfTestError> {
    let swept = match dtype {
        DType::F32 => sweep_elements::<f32>(kernels, progress).await,
        DType::F16 => sweep_elements::<f16>(kernels, progress).await,
        DType::Bf16 => sweep_elements::<bf16>(kernels, progress).await,
    };
    swept.map_err(|source| SelfTestError::Run {
        operation: format!("every {dtype}"),
        source,
    })
}

async fn sweep_elements<T: Element>(
    kernels: &Kernels,
    mut progress: impl FnMut(u64, u64),
) -> Result<Vec<Comparison>, RunError> {
    let (device, queue) = (kernels.device(), kernels.queue());
    let patterns = 1u64 << (8 * T::DTYPE.bytes());
    let window = SWEEP_WINDOW.min(patterns);
    let bytes = window * T::DTYPE.bytes();
    let mappable = device.features().contains(wgpu::Features::MAPPABLE_PRIMARY_BUFFERS);
    let buffer = |label, size, usage| {
        create_buffer(
            device,
            &wgpu::BufferDescriptor {
                label: Some(label),
                size,
                usage: wgpu::BufferUsages::STORAGE | usage,
                mapped_at_creation: false,
            },
        )
    };
    let scopes = ErrorScopes::push(device);
    let x = buffer("wgpu_dropout::sweep::x", bytes, wgpu::BufferUsages::COPY_DST);
    let read_usage = if mappable {
        wgpu::BufferUsages::MAP_READ
    } else {
        wgpu::BufferUsages::COPY_SRC
    };
    let y = buffer("wgpu_dropout::sweep::y", bytes, read_usage);
    let mask = buffer(
        "wgpu_dropout::sweep::mask",
        MaskFormat::Bits.buffer_bytes(window),
        wgpu::BufferUsages::COPY_DST,
    );
    let staging = (!mappable).then(|| {
        create_buffer(
            device,
            &wgpu::BufferDescriptor {
                label: Some("wgpu_dropout::sweep::staging"),
                size: bytes,
                usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            },
        )
    });
    scopes.pop()?;
    queue.write_buffer(&mask, 0, &vec![0xff; MaskFormat::Bits.buffer_bytes(window) as usize]);
    let whole = |buffer| BufferBinding {
        buffer,
        offset: 0,
        size: None,
    };
    let bind = |operation| {
        kernels.bind(&BindDescriptor {
            label: Some("wgpu_dropout::sweep"),
            dtype: T::DTYPE,
            elements: window,
            map: None,
            seeds: None,
            operation,
        })
    };
    let training = bind(Operation::Backward {
        dy: whole(&x),
        dx: whole(&y),
        mask: BackwardMask::Stored(StoredMask::Bits(whole(&mask))),
    })?;
    let inference = bind(Operation::Inference {
        x: whole(&x),
        y: whole(&y),
    })?;

    let factors = factors();
    let mut comparisons: Vec<_> = factors
        .iter()
        .map(|factor| Comparison {
            operation: format!("every {} at scale {:e} ({})", T::DTYPE, factor.scale, factor.phase),
            kernels: describe(kernels),
            cases: 0,
            elements: 0,
            difference: None,
        })
        .collect();
    let mut input: Vec<T> = vec![T::zeroed(); window as usize];
    for first in (0..patterns).step_by(window as usize) {
        input
            .par_iter_mut()
            .enumerate()
            .for_each(|(i, x)| *x = from_pattern(first + i as u64));
        queue.write_buffer(&x, 0, bytemuck::cast_slice(&input));
        for (factor, comparison) in factors.iter().zip(&mut comparisons) {
            if comparison.difference.is_some() {
                continue;
            }
            let scopes = ErrorScopes::push(device);
            let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            let binding = if factor.phase == "training" {
                &training
            } else {
                &inference
            };
            binding.encode(&mut encoder, &factor.dropout)?;
            if let Some(staging) = &staging {
                encoder.copy_buffer_to_buffer(&y, 0, staging, 0, bytes);
            }
            queue.submit([encoder.finish()]);
            scopes.pop()?;
            let download = Download::of(staging.as_ref().unwrap_or(&y).clone());
            download.map();
            wait(device)?;
            download.mapped().await?;
            let wrong = download.with_bytes(|bytes| first_wrong(&input, bytemuck::cast_slice(bytes), factor.scale))?;
            comparison.cases += 1;
            comparison.elements += window;
            comparison.difference = wrong.map(|(index, expected, actual)| Difference {
                case: format!("scale bits {:08x}", factor.scale.to_bits()),
                place: "output",
                index,
                block_lane: (0, 0),
                input: Some((first + index) as u32),
                expected,
                actual,
            });
        }
        progress(first + window, patterns);
    }
    Ok(comparisons)
}

/// The element whose bits are the low bits of `pattern`.
fn from_pattern<T: Element>(pattern: u64) -> T {
    let bytes = pattern.to_le_bytes();
    let element = &bytes[..T::DTYPE.bytes() as usize];
    // Element i's bits are i on either byte order: low bytes first, turned where memory is not.
    let mut turned = [0u8; 4];
    let turned = &mut turned[..element.len()];
    turned.copy_from_slice(element);
    if cfg!(target_endian = "big") {
        turned.reverse();
    }
    bytemuck::pod_read_unaligned(turned)
}

/// The first element whose bits differ from the reference's, with both.
fn first_wrong<T: Element>(input: &[T], output: &[T], scale: f32) -> Option<(u64, u32, u32)> {
    const CHUNK: usize = 1 << 16;
    let bits = |x: &T| {
        bytemuck::bytes_of(x)
            .iter()
            .rev()
            .fold(0, |bits, &byte| bits << 8 | u32::from(byte))
    };
    input
        .par_chunks(CHUNK)
        .zip(output.par_chunks(CHUNK))
        .enumerate()
        .find_map_first(|(chunk, (input, output))| {
            let same = |x: T, y: &T| bytemuck::bytes_of(&x.kept(scale)) == bytemuck::bytes_of(y);
            if input.iter().zip(output).fold(true, |all, (&x, y)| all & same(x, y)) {
                return None;
            }
            let (i, (&x, y)) = input.iter().zip(output).enumerate().find(|(_, (x, y))| !same(**x, y))?;
            Some(((chunk * CHUNK + i) as u64, bits(&x.kept(scale)), bits(y)))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_zeros_are_where_the_cases_have_them() {
        for (element, random_bits) in [(ZERO_OF_32_BITS, RandomBits::B32), (ZERO_OF_16_BITS, RandomBits::B16)] {
            let dropout = Dropout {
                probability: Probability::new(1.0 - 1e-13, random_bits).expect("a probability"),
                scale_mode: ScaleMode::Inverted,
                seed: SEED,
                subsequence: SUBSEQUENCE,
                element_offset: element,
            };
            assert_eq!(dropout.probability.threshold(), 1);
            let mut kept = [0u32];
            reference::bit_mask(&dropout, 1, &mut kept).expect("lengths agree");
            assert_eq!(kept, [1], "{random_bits:?}");
        }
    }
    use crate::gpu::Variant;
    use std::collections::HashSet;

    /// The noop device computes nothing, but it shows which pipelines the table asks for.
    #[test]
    fn the_table_reaches_every_variant() {
        let limits = wgpu::Limits {
            max_immediate_size: Kernels::IMMEDIATE_BYTES,
            ..wgpu::Limits::default()
        };
        let (device, queue) = wgpu::Device::noop(&wgpu::DeviceDescriptor {
            required_features: Kernels::optional_features(),
            required_limits: limits,
            ..Default::default()
        });
        let mut reached = HashSet::new();
        let subjects = Subject::all();
        for part in Coverage::parts(device.features(), &device.limits()) {
            let kernels = Kernels::with_options(&device, &queue, &part.options()).expect("kernels");
            for (tile, subject) in part.operations(&subjects) {
                let kernels = kernels.with_tile(tile.expect("a size"));
                for n in 0..subject.cases() {
                    pollster::block_on(compare_nth(&kernels, subject, n)).expect("a run");
                }
            }
            reached.extend(kernels.built());
        }
        let all: HashSet<_> = Variant::all().collect();
        let missed: Vec<_> = all.difference(&reached).collect();
        assert!(
            missed.is_empty(),
            "{} of {}, such as {}",
            missed.len(),
            all.len(),
            missed[0]
        );
        assert_eq!(reached.len(), all.len());
    }

    #[test]
    fn a_device_that_computes_nothing_is_found_out() {
        let (device, queue) = wgpu::Device::noop(&wgpu::DeviceDescriptor::default());
        let comparisons = pollster::block_on(run(&device, &queue, Coverage::Chosen, |_, _| {})).expect("a run");
        assert!(!comparisons.is_empty());
        for comparison in comparisons {
            assert!(comparison.difference.is_some(), "{}", comparison.operation);
        }
        let kernels = Kernels::new(&device, &queue).expect("kernels");
        for dtype in [DType::F16, DType::Bf16] {
            let comparisons = pollster::block_on(sweep(&kernels, dtype, |_, _| {})).expect("a run");
            assert!(comparisons.iter().all(|comparison| comparison.difference.is_some()));
        }
    }
}

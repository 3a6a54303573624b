//! A job: elements, what decides about them and what is done with them; cut for threads, and run with the instructions
//! that the processor has.

use core::ops::Range;

use half::{bf16, f16};

use super::decide::{Decide, pack_bits};
use super::draw::Run;
use super::fused::Fused;
use super::mapped::{self, Way};
use super::outputs::{Both, Dropped, InPlace, Keep, KeepBits, Made, Make, Nowhere, Streamed};
use super::pieces::{ByPieces, Pieces};
use super::words::{Compute, Instructions, Portable, READ, WRITE};
#[cfg(target_arch = "x86_64")]
use super::x86;
use crate::float_environment::with_default;
use crate::{DType, Draw, Dropout, Element, IndexMap, RandomBits};

/// What jobs are cut at, and the most elements that are decided before they are applied: a multiple of every
/// block and mask word, and of the elements that the words drawn at a time decide.
pub(super) const TILE: usize = 512;
/// Elements of one parallel task: a multiple of the tile, and so of every block and mask word.
pub(super) const TASK: usize = 128 * TILE;

/// Where keep decisions come from.
#[derive(Clone, Copy)]
pub(super) enum Source<'a> {
    /// In one run of the stream.
    Drawn(Dropout),
    ByPieces(ByPieces<'a>),
    /// All are kept.
    All,
}

/// What they are applied to, and where they are stored.
pub(super) enum Data<'a, T> {
    Apart(&'a [T], &'a mut [T]),
    Stored(&'a [T], &'a mut [T], Sink<'a>),
    InPlace(&'a mut [T]),
    Fused(Fused<'a, T>, &'a mut [T]),
    Mask(Sink<'a>),
}

impl<T: Element> Data<'_, T> {
    /// Starts to fetch elements `[at, at + len)`, as far as they exist; not what is stored past the caches.
    #[inline(always)]
    pub(super) fn fetch(&self, instructions: impl Instructions, streams: bool, at: usize, len: usize) {
        let y = match self {
            Data::Apart(x, y) | Data::Stored(x, y, _) => {
                instructions.fetch::<READ, _>(x, at, len);
                y
            }
            Data::InPlace(y) => return instructions.fetch::<WRITE, _>(y, at, len),
            Data::Fused(fused, y) => {
                fused.fetch(instructions, at, len);
                y
            }
            Data::Mask(_) => return,
        };
        if !streams {
            instructions.fetch::<WRITE, _>(y, at, len);
        }
    }
}

/// Where they are stored.
pub(super) enum Sink<'a> {
    Bits(&'a mut [u32]),
    Bytes(&'a mut [u8]),
}

impl Sink<'_> {
    fn split_at(self, middle: usize) -> (Self, Self) {
        match self {
            Sink::Bits(bits) => {
                let (a, b) = bits.split_at_mut(middle / 32);
                (Sink::Bits(a), Sink::Bits(b))
            }
            Sink::Bytes(bytes) => {
                let (a, b) = bytes.split_at_mut(middle);
                (Sink::Bytes(a), Sink::Bytes(b))
            }
        }
    }

    /// Those of elements from `at` on, a multiple of 32.
    #[inline(always)]
    pub(super) fn store(&mut self, instructions: impl Instructions, at: usize, keep: &[u8]) {
        match self {
            Sink::Bits(bits) => pack_bits(instructions, keep, &mut bits[at / 32..]),
            Sink::Bytes(bytes) => bytes[at..at + keep.len()].copy_from_slice(keep),
        }
    }

    /// Those of elements that are decided alike, whole thirty-twos.
    pub(super) fn fill(&mut self, range: Range<usize>, keep: bool) {
        match self {
            Sink::Bits(bits) => bits[range.start / 32..range.end / 32].fill(if keep { u32::MAX } else { 0 }),
            Sink::Bytes(bytes) => bytes[range].fill(u8::from(keep)),
        }
    }
}

/// With the widest instructions that the processor has, in whichever thread and whatever that thread's floating-point
/// environment is.
pub(super) fn compute(this: impl Compute) {
    with_default(|| {
        #[cfg(target_arch = "x86_64")]
        let Err(this) = x86::compute(this) else {
            return;
        };
        this.compute(Portable);
    });
}

/// What is compiled once for each element type, in this crate: as functions that are generic to the end, jobs would be
/// compiled again in every crate that calls them, for each instruction set, which takes a minute. So would a default method.
pub trait Compiled: Sized {
    /// [`Job::run`].
    fn run(job: Job<'_, Self>);
}

impl Compiled for f32 {
    fn run(job: Job<'_, Self>) {
        job.cut_and_run();
    }
}

impl Compiled for f16 {
    fn run(job: Job<'_, Self>) {
        job.cut_and_run();
    }
}

impl Compiled for bf16 {
    fn run(job: Job<'_, Self>) {
        job.cut_and_run();
    }
}

/// A run of elements that starts at local index `first`, a multiple of [`TILE`].
#[expect(
    missing_debug_implementations,
    reason = "public for the sake of a trait: nobody can name it"
)]
pub struct Job<'a, T> {
    pub(super) first: usize,
    pub(super) len: usize,
    pub(super) scale: f32,
    pub(super) source: Source<'a>,
    pub(super) data: Data<'a, T>,
    /// Whether the output goes past the caches, where it is made in one go; in place, where it is fetched ahead.
    pub(super) streams: bool,
}

impl<T: Element> Job<'_, T> {
    /// Both halves of the job; `middle` is a multiple of [`TILE`].
    fn split_at(self, middle: usize) -> (Self, Self) {
        let (source, source_rest) = match self.source {
            Source::ByPieces(source) => {
                let (a, b) = source.split_at(middle);
                (Source::ByPieces(a), Source::ByPieces(b))
            }
            source @ (Source::Drawn(_) | Source::All) => (source, source),
        };
        let (data, data_rest) = match self.data {
            Data::Apart(x, y) => {
                let ((x, x_rest), (y, y_rest)) = (x.split_at(middle), y.split_at_mut(middle));
                (Data::Apart(x, y), Data::Apart(x_rest, y_rest))
            }
            Data::Stored(x, y, sink) => {
                let ((x, x_rest), (y, y_rest)) = (x.split_at(middle), y.split_at_mut(middle));
                let (sink, sink_rest) = sink.split_at(middle);
                (Data::Stored(x, y, sink), Data::Stored(x_rest, y_rest, sink_rest))
            }
            Data::InPlace(y) => {
                let (y, y_rest) = y.split_at_mut(middle);
                (Data::InPlace(y), Data::InPlace(y_rest))
            }
            Data::Fused(fused, y) => {
                let ((fused, fused_rest), (y, y_rest)) = (fused.split_at(middle), y.split_at_mut(middle));
                (Data::Fused(fused, y), Data::Fused(fused_rest, y_rest))
            }
            Data::Mask(sink) => {
                let (sink, sink_rest) = sink.split_at(middle);
                (Data::Mask(sink), Data::Mask(sink_rest))
            }
        };
        let rest = Job {
            first: self.first + middle,
            len: self.len - middle,
            scale: self.scale,
            source: source_rest,
            data: data_rest,
            streams: self.streams,
        };
        let job = Job {
            first: self.first,
            len: middle,
            scale: self.scale,
            source,
            data,
            streams: self.streams,
        };
        (job, rest)
    }

    /// Does the job on as many threads of the current pool as it is worth.
    pub(super) fn run(self) {
        T::run(self);
    }

    fn cut_and_run(self) {
        let task = match self.source {
            Source::ByPieces(ByPieces::Mapped(_, map)) => mapped::task(map),
            _ => TASK,
        };
        if self.len <= task {
            compute(self);
        } else {
            let middle = self.len.div_ceil(task) / 2 * task;
            let (job, rest) = self.split_at(middle);
            rayon::join(|| job.cut_and_run(), || rest.cut_and_run());
        }
    }
}

impl<T: Element> Compute for Job<'_, T> {
    #[inline(always)]
    fn compute(self, instructions: impl Instructions) {
        match self.source {
            // In one go: no decisions are kept on the way to where they are used.
            Source::Drawn(dropout) => self.compute_run(&dropout, instructions),
            Source::All => self.compute_all(instructions),
            Source::ByPieces(source) => {
                Pieces::new(self.data, self.len, self.scale, self.streams, instructions)
                    .decide(source, self.first as u64);
            }
        }
    }
}

impl<T: Element> Job<'_, T> {
    /// Nothing to decide.
    #[inline(always)]
    fn compute_all<I: Instructions>(self, instructions: I) {
        let (range, scale, streams) = (0..self.len, self.scale, self.streams);
        match self.data {
            Data::Apart(x, y) => {
                let make = Dropped { of: x, scale };
                let mut made = Made { make, y };
                if I::STREAMS && streams {
                    Streamed::new(instructions, made).decide_all(instructions, range, true);
                    instructions.streamed();
                } else {
                    made.decide_all(instructions, range, true);
                }
            }
            Data::InPlace(y) => InPlace::new(instructions, y, scale, streams).decide_all(instructions, range, true),
            // Of these only what has no elements.
            Data::Stored(..) | Data::Fused(..) | Data::Mask(_) => {}
        }
    }

    #[inline(always)]
    fn compute_run(self, dropout: &Dropout, instructions: impl Instructions) {
        let (scale, streams) = (self.scale, self.streams);
        let run = OneRun {
            dropout,
            first: self.first as u64,
            instructions,
        };
        match self.data {
            Data::Apart(x, y) => run.make(Dropped { of: x, scale }, y, streams, Nowhere),
            Data::Stored(x, y, Sink::Bits(bits)) => run.make(Dropped { of: x, scale }, y, streams, KeepBits { bits }),
            Data::Stored(x, y, Sink::Bytes(keep)) => run.make(Dropped { of: x, scale }, y, streams, Keep { keep }),
            Data::Fused(ref fused, y) => run.make(Dropped { of: fused, scale }, y, streams, Nowhere),
            Data::InPlace(y) => run.decide(self.len, &mut InPlace::new(instructions, y, scale, streams)),
            Data::Mask(Sink::Bits(bits)) => run.decide(self.len, &mut KeepBits { bits }),
            Data::Mask(Sink::Bytes(keep)) => run.decide(self.len, &mut Keep { keep }),
        }
    }
}

/// A job's elements where they are one run of the stream.
#[derive(Clone, Copy)]
struct OneRun<'a, I> {
    dropout: &'a Dropout,
    first: u64,
    instructions: I,
}

impl<I: Instructions> OneRun<'_, I> {
    #[inline(always)]
    fn decide(self, len: usize, decide: &mut impl Decide) {
        self.instructions.apart(Run {
            dropout: self.dropout,
            first: self.first,
            range: 0..len,
            decide,
        });
    }

    /// With `streams` past the caches.
    #[inline(always)]
    fn make<T: Element, M: Make<T>>(self, make: M, y: &mut [T], streams: bool, sink: impl Decide) {
        let len = y.len();
        let made = Made { make, y };
        if I::STREAMS && streams {
            self.decide(len, &mut Both(Streamed::new(self.instructions, made), sink));
            self.instructions.streamed();
        } else {
            self.decide(len, &mut Both(made, sink));
        }
    }
}

/// What a program has of a third-level cache at most: longer ones serve many cores, which have a part each and others'
/// programs to share it with.
const SHARE: usize = 48 << 20;

/// Too long for the third-level cache beside its input: of four bytes from the cache's own length on, of two bytes, which take longer
/// to make, from one and a half times on, and from a share of it on; as measured, see BENCHMARKS.md.
fn is_longer_than_caches<T>(len: usize) -> bool {
    #[cfg(target_arch = "x86_64")]
    let cache = x86::third_level_cache();
    #[cfg(not(target_arch = "x86_64"))]
    let cache: Option<usize> = None;
    cache.is_some_and(|cache| {
        let most = if size_of::<T>() > 2 { cache } else { cache + cache / 2 };
        len.saturating_mul(size_of::<T>()) >= most.min(SHARE)
    })
}

/// Whether an output is better stored past the caches: where it is too long for them, and drawing takes less
/// than memory does. For which that is, was measured on both instruction sets, see BENCHMARKS.md.
pub(super) fn streams<T: Element>(len: usize, random_bits: RandomBits, map: Option<&IndexMap>) -> bool {
    #[cfg(target_arch = "x86_64")]
    let draws_fast = x86::draws_fast();
    #[cfg(not(target_arch = "x86_64"))]
    let draws_fast = false;
    if !is_longer_than_caches::<T>(len) {
        return false;
    }
    let by_runs = match map {
        Some(map) if !map.is_contiguous() => match Way::of(map) {
            // Next to nothing is drawn.
            Way::Shared => return true,
            Way::Runs => true,
            Way::ShortRuns | Way::Columns | Way::FewColumns | Way::Scattered => false,
        },
        _ => true,
    };
    let takes_less = match (T::DTYPE, random_bits) {
        (DType::F32, RandomBits::B32 | RandomBits::B16) => draws_fast,
        (DType::F32, RandomBits::B8) | (DType::F16 | DType::Bf16, _) => true,
    };
    by_runs && takes_less
}

pub(super) fn training<'a, T: Element>(draw: impl Into<Draw<'a>>, len: usize, data: Data<'a, T>) -> Job<'a, T> {
    let draw = draw.into();
    let Draw { dropout, map, seeds } = draw;
    let probability = &dropout.probability;
    // Seeds of rows: as measured, see BENCHMARKS.md.
    let streams = seeds.is_none() && streams::<T>(len, probability.random_bits(), map);
    Job {
        first: 0,
        len,
        scale: probability.training_scale(dropout.scale_mode),
        source: match (map, seeds) {
            _ if len == 0 => Source::All,
            // Nothing to draw.
            _ if probability.keeps_none() || probability.keeps_all() => Source::Drawn(*dropout),
            (_, Some(seeds)) => Source::ByPieces(ByPieces::Seeded(draw, seeds)),
            (None, None) => Source::Drawn(*dropout),
            // Rows of a tensor, say: nothing but an offset.
            (Some(map), None) if map.is_contiguous() => Source::Drawn(dropout.with_element_offset(draw.global(0))),
            (Some(map), None) => Source::ByPieces(ByPieces::Mapped(dropout, map)),
        },
        data,
        streams,
    }
}

/// With decisions that need not be drawn.
pub(super) fn given<'a, T: Element>(
    dropout: &Dropout,
    given: ByPieces<'a>,
    len: usize,
    data: Data<'a, T>,
) -> Job<'a, T> {
    let scale = dropout.probability.training_scale(dropout.scale_mode);
    scaled(scale, Source::ByPieces(given), len, data)
}

/// The same, times any scale.
pub(super) fn scaled<'a, T: Element>(scale: f32, source: Source<'a>, len: usize, data: Data<'a, T>) -> Job<'a, T> {
    Job {
        first: 0,
        len,
        scale,
        source,
        data,
        streams: is_longer_than_caches::<T>(len),
    }
}

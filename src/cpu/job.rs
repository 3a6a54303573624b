//! A job: elements, what decides about them and what is done with them; cut for threads, and run with the instructions
//! that the processor has.

use half::{bf16, f16};

use super::decide::{Decide, KeepByte, pack_bits};
use super::draw::{Given, Run, Seeded};
use super::fused::Fused;
use super::mapped::{self, Runs, Way, draw_mapped};
use super::outputs::{Both, Dropped, Gathered, InPlace, Keep, KeepBits, Made, Make, Nowhere, Streamed};
use super::words::{Compute, Instructions, Portable, READ, WRITE};
#[cfg(target_arch = "x86_64")]
use super::x86;
use crate::draw::Seeds;
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
    Drawn(Dropout),
    Mapped(&'a Dropout, &'a IndexMap),
    Seeded(Draw<'a>, Seeds<'a>),
    Given(Given<'a>),
}

/// What is decided piece by piece.
#[derive(Clone, Copy)]
enum ByPieces<'a> {
    Mapped(&'a Dropout, &'a IndexMap),
    Seeded(Draw<'a>, Seeds<'a>),
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
    /// Starts to fetch elements `[at, at + len)`, as far as they exist.
    #[inline(always)]
    fn fetch(&self, instructions: impl Instructions, at: usize, len: usize) {
        match self {
            Data::Apart(x, y) | Data::Stored(x, y, _) => {
                instructions.fetch::<READ, _>(x, at, len);
                instructions.fetch::<WRITE, _>(y, at, len);
            }
            Data::InPlace(y) => instructions.fetch::<WRITE, _>(y, at, len),
            Data::Fused(fused, y) => {
                fused.fetch(instructions, at, len);
                instructions.fetch::<WRITE, _>(y, at, len);
            }
            Data::Mask(_) => {}
        }
    }
}

/// Elements to be fetched bit by bit while decisions are drawn.
pub(super) trait Fetch {
    /// Starts to fetch so many more.
    fn fetch_next(&mut self, elements: usize);
}

struct Ahead<'a, 'd, T, I> {
    data: &'a Data<'d, T>,
    instructions: I,
    at: usize,
}

impl<T: Element, I: Instructions> Fetch for Ahead<'_, '_, T, I> {
    #[inline(always)]
    fn fetch_next(&mut self, elements: usize) {
        self.data.fetch(self.instructions, self.at, elements);
        self.at = self.at.saturating_add(elements);
    }
}

/// What is decided lies in the cache already.
pub(super) struct NothingAhead;

impl Fetch for NothingAhead {
    #[inline(always)]
    fn fetch_next(&mut self, _elements: usize) {}
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
    fn store(&mut self, instructions: impl Instructions, at: usize, keep: &[u8]) {
        match self {
            Sink::Bits(bits) => pack_bits(instructions, keep, &mut bits[at / 32..]),
            Sink::Bytes(bytes) => bytes[at..at + keep.len()].copy_from_slice(keep),
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
            Source::Given(Given::Bits(bits)) => {
                let (a, b) = bits.split_at(middle / 32);
                (Source::Given(Given::Bits(a)), Source::Given(Given::Bits(b)))
            }
            Source::Given(Given::Bytes(bytes)) => {
                let (a, b) = bytes.split_at(middle);
                (Source::Given(Given::Bytes(a)), Source::Given(Given::Bytes(b)))
            }
            source @ (Source::Drawn(_) | Source::Mapped(..) | Source::Seeded(..) | Source::Given(Given::All)) => {
                (source, source)
            }
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
            Source::Mapped(_, map) => mapped::task(map),
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
    fn compute(mut self, instructions: impl Instructions) {
        let source = match self.source {
            // In one go: no decisions are kept on the way to where they are used.
            Source::Drawn(dropout) => return self.compute_run(&dropout, instructions),
            Source::Given(given) => return self.compute_given(given, instructions),
            Source::Mapped(dropout, map) if matches!(Way::of(map), Way::Runs | Way::Shared) => {
                let Some(left) = self.compute_runs(dropout, map, instructions) else {
                    return;
                };
                self = left;
                ByPieces::Mapped(dropout, map)
            }
            Source::Mapped(dropout, map) => ByPieces::Mapped(dropout, map),
            Source::Seeded(call, seeds) => ByPieces::Seeded(call, seeds),
        };
        self.compute_by_pieces(source, instructions);
    }
}

impl<T: Element> Job<'_, T> {
    /// Nothing to draw.
    #[inline(always)]
    fn compute_given<I: Instructions>(self, given: Given<'_>, instructions: I) {
        let (len, scale) = (self.len, self.scale);
        match self.data {
            Data::Apart(x, y) => {
                let make = Dropped { of: x, scale };
                let mut made = Made { make, y };
                if I::STREAMS && self.streams {
                    given.decide(len, instructions, &mut Streamed::new(instructions, made));
                    instructions.streamed();
                } else {
                    given.decide(len, instructions, &mut made);
                }
            }
            Data::InPlace(y) => {
                given.decide(
                    len,
                    instructions,
                    &mut InPlace::new(instructions, y, scale, self.streams),
                );
            }
            // Of these only what has no elements.
            Data::Stored(..) | Data::Fused(..) | Data::Mask(_) => {}
        }
    }

    /// One run of the stream.
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

    /// Runs that are long or share a decision each. Gives the job back where decisions are stored beside the output: for that,
    /// too, the functions would take compilers much longer.
    #[inline(always)]
    fn compute_runs(self, dropout: &Dropout, map: &IndexMap, instructions: impl Instructions) -> Option<Self> {
        let (scale, streams) = (self.scale, self.streams);
        let runs = SomeRuns {
            dropout,
            map,
            first: self.first as u64,
            len: self.len,
            instructions,
        };
        match self.data {
            Data::Apart(x, y) => runs.make(Dropped { of: x, scale }, y, streams),
            Data::Fused(ref fused, y) => runs.make(Dropped { of: fused, scale }, y, streams),
            Data::InPlace(y) => runs.decide(&mut InPlace::new(instructions, y, scale, streams)),
            Data::Mask(Sink::Bits(bits)) => runs.decide(&mut KeepBits { bits }),
            Data::Mask(Sink::Bytes(keep)) => runs.decide(&mut Keep { keep }),
            Data::Stored(..) => return Some(self),
        }
        None
    }

    #[inline(always)]
    fn compute_by_pieces(mut self, source: ByPieces<'_>, instructions: impl Instructions) {
        let scale = self.scale;
        // Elements decided before they are applied.
        let piece = match source {
            ByPieces::Mapped(_, map) => mapped::piece(map),
            ByPieces::Seeded(..) => TILE,
        };
        let (mut tile, mut longer) = ([0u8; TILE], Vec::new());
        let keep = if piece > TILE {
            longer.resize(piece.min(self.len), 0u8);
            &mut longer[..]
        } else {
            &mut tile[..]
        };
        let mut at = 0;
        while at < self.len {
            let end = self.len.min(at + piece);
            let keep = &mut keep[..end - at];
            // What drawing takes long for is fetched meanwhile, else what comes next.
            let draws_long = piece > TILE;
            let mut ahead = Ahead {
                data: &self.data,
                instructions,
                at: if draws_long { at } else { end },
            };
            if !draws_long {
                ahead.fetch_next(piece);
            }
            match source {
                ByPieces::Mapped(dropout, map) => {
                    let first = (self.first + at) as u64;
                    draw_mapped(dropout, map, first, keep, instructions, &mut ahead);
                }
                ByPieces::Seeded(call, seeds) => instructions.apart(Seeded {
                    call,
                    seeds,
                    first: (self.first + at) as u64,
                    keep,
                }),
            }
            let keep = &*keep;
            let decisions: &[KeepByte] = bytemuck::cast_slice(keep);
            match &mut self.data {
                Data::Apart(x, y) | Data::Stored(x, y, _) => {
                    let make = Dropped { of: *x, scale };
                    Made { make, y }.decide(instructions, at, decisions, 0);
                }
                Data::InPlace(y) => InPlace::new(instructions, y, scale, false).decide(instructions, at, decisions, 0),
                Data::Fused(fused, y) => {
                    let make = Dropped { of: &*fused, scale };
                    Made { make, y }.decide(instructions, at, decisions, 0);
                }
                Data::Mask(_) => {}
            }
            if let Data::Stored(_, _, sink) | Data::Mask(sink) = &mut self.data {
                sink.store(instructions, at, keep);
            }
            at = end;
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

/// A job's elements where they are several runs.
struct SomeRuns<'a, I> {
    dropout: &'a Dropout,
    map: &'a IndexMap,
    first: u64,
    len: usize,
    instructions: I,
}

impl<I: Instructions> SomeRuns<'_, I> {
    #[inline(always)]
    fn decide(&self, decide: &mut impl Decide) {
        self.instructions.apart(Runs {
            dropout: self.dropout,
            map: self.map,
            first: self.first,
            len: self.len,
            decide,
        });
    }

    /// With `streams` past the caches.
    #[inline(always)]
    fn make<T: Element, M: Make<T>>(self, make: M, y: &mut [T], streams: bool) {
        let made = Made { make, y };
        if !(I::STREAMS && streams) {
            // As for one run, or that would be compiled twice.
            return self.decide(&mut Both(made, Nowhere));
        }
        if mapped::shares_far(self.map) {
            self.decide(&mut Both(Streamed::new(self.instructions, made), Nowhere));
        } else {
            let mut gathered = Both(Gathered::new(self.instructions, made), Nowhere);
            self.decide(&mut gathered);
            gathered.0.finish(self.instructions);
        }
        self.instructions.streamed();
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
            Way::Columns | Way::Scattered => false,
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
    let random_bits = dropout.probability.random_bits();
    let streams = streams::<T>(len, random_bits, map);
    Job {
        first: 0,
        len,
        scale: dropout.probability.training_scale(dropout.scale_mode),
        source: match (map, seeds) {
            _ if len == 0 => Source::Given(Given::All),
            (_, Some(seeds)) => Source::Seeded(draw, seeds),
            (None, None) => Source::Drawn(*dropout),
            // Rows of a tensor, say: nothing but an offset.
            (Some(map), None) if map.is_contiguous() => Source::Drawn(dropout.with_element_offset(draw.global(0))),
            (Some(map), None) => Source::Mapped(dropout, map),
        },
        data,
        streams,
    }
}

/// With decisions that need not be drawn.
pub(super) fn given<'a, T: Element>(
    dropout: &Dropout,
    decisions: Given<'a>,
    len: usize,
    data: Data<'a, T>,
) -> Job<'a, T> {
    let scale = dropout.probability.training_scale(dropout.scale_mode);
    scaled(scale, decisions, len, data)
}

/// The same, times any scale.
pub(super) fn scaled<'a, T: Element>(scale: f32, decisions: Given<'a>, len: usize, data: Data<'a, T>) -> Job<'a, T> {
    Job {
        first: 0,
        len,
        scale,
        source: Source::Given(decisions),
        data,
        streams: is_longer_than_caches::<T>(len),
    }
}

//! A job: elements, what decides about them and what is done with them; cut for threads, and run with the instructions
//! that the processor has.

use core::ops::Range;

use half::{bf16, f16};

use super::decide::{
    Buffer, Decide, Dropped, InPlace, Keep, KeepByte, Made, Make, Run, Seeded, Streamed, before_line, draw, pack_bits,
    unpack_bits,
};
use super::fused::Fused;
use super::mapped::{self, Runs, Way, draw_mapped};
use super::words::{Compute, Instructions, Portable, READ, WORDS, WRITE};
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
    Bits(&'a [u32]),
    Bytes(&'a [u8]),
    All,
}

impl<'a> Source<'a> {
    /// What needs no decisions kept on the way to where they are applied, if it is that.
    fn in_one_go(self) -> Option<InOneGo<'a>> {
        match self {
            Source::Drawn(dropout) => Some(InOneGo::Run(dropout)),
            Source::Mapped(dropout, map) if matches!(Way::of(map), Way::Runs | Way::Shared) => {
                Some(InOneGo::Runs(dropout, map))
            }
            _ => None,
        }
    }
}

/// One run of the stream, or long ones.
#[derive(Clone, Copy)]
enum InOneGo<'a> {
    Run(Dropout),
    Runs(&'a Dropout, &'a IndexMap),
}

impl InOneGo<'_> {
    #[inline(always)]
    fn decide(self, first: u64, range: Range<usize>, instructions: impl Instructions, decide: &mut impl Decide) {
        match self {
            Self::Run(dropout) => instructions.apart(Run {
                dropout: &dropout,
                first,
                range,
                decide,
            }),
            Self::Runs(dropout, map) => instructions.apart(Runs {
                dropout,
                map,
                first,
                range,
                decide,
            }),
        }
    }

    /// Decides and stores; with `streams` past the caches.
    #[inline(always)]
    fn make<T: Element, M: Make<T>>(
        self,
        first: u64,
        instructions: impl Instructions,
        make: M,
        y: &mut [T],
        streams: bool,
    ) {
        let len = y.len();
        if !streams {
            return self.decide(first, 0..len, instructions, &mut Made { make, y });
        }
        // What comes before the first cache line of one run for itself, so that pieces begin at one.
        let head = match self {
            Self::Run(_) => before_line(y),
            Self::Runs(..) => 0,
        };
        let mut made = Made { make, y };
        self.decide(first, 0..head, instructions, &mut made);
        let Made { make, y } = made;
        let buffer = Buffer([T::zeroed(); WORDS * 4]);
        let first = first + head as u64;
        self.decide(first, head..len, instructions, &mut Streamed { make, y, buffer });
        instructions.streamed();
    }
}

/// What they are applied to.
pub(super) enum Data<'a, T> {
    Apart(&'a [T], &'a mut [T]),
    InPlace(&'a mut [T]),
    Fused(Fused<'a, T>, &'a mut [T]),
    None,
}

impl<T: Element> Data<'_, T> {
    /// Starts to fetch elements `[at, at + len)`, as far as they exist.
    #[inline(always)]
    fn fetch(&self, instructions: impl Instructions, at: usize, len: usize) {
        match self {
            Data::Apart(x, y) => {
                instructions.fetch::<READ, _>(x, at, len);
                instructions.fetch::<WRITE, _>(y, at, len);
            }
            Data::InPlace(y) => instructions.fetch::<WRITE, _>(y, at, len),
            Data::Fused(fused, y) => {
                fused.fetch(instructions, at, len);
                instructions.fetch::<WRITE, _>(y, at, len);
            }
            Data::None => {}
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
    None,
    Bits(&'a mut [u32]),
    Bytes(&'a mut [u8]),
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
    pub(super) sink: Sink<'a>,
    /// Whether the output goes past the caches, where nothing is stored beside it.
    pub(super) streams: bool,
}

impl<T: Element> Job<'_, T> {
    /// Both halves of the job; `middle` is a multiple of [`TILE`].
    fn split_at(self, middle: usize) -> (Self, Self) {
        let (source, source_rest) = match self.source {
            Source::Bits(bits) => {
                let (a, b) = bits.split_at(middle / 32);
                (Source::Bits(a), Source::Bits(b))
            }
            Source::Bytes(bytes) => {
                let (a, b) = bytes.split_at(middle);
                (Source::Bytes(a), Source::Bytes(b))
            }
            source @ (Source::Drawn(_) | Source::Mapped(..) | Source::Seeded(..) | Source::All) => (source, source),
        };
        let (data, data_rest) = match self.data {
            Data::Apart(x, y) => {
                let ((x, x_rest), (y, y_rest)) = (x.split_at(middle), y.split_at_mut(middle));
                (Data::Apart(x, y), Data::Apart(x_rest, y_rest))
            }
            Data::InPlace(y) => {
                let (y, y_rest) = y.split_at_mut(middle);
                (Data::InPlace(y), Data::InPlace(y_rest))
            }
            Data::Fused(fused, y) => {
                let ((fused, fused_rest), (y, y_rest)) = (fused.split_at(middle), y.split_at_mut(middle));
                (Data::Fused(fused, y), Data::Fused(fused_rest, y_rest))
            }
            Data::None => (Data::None, Data::None),
        };
        let (sink, sink_rest) = match self.sink {
            Sink::Bits(bits) => {
                let (a, b) = bits.split_at_mut(middle / 32);
                (Sink::Bits(a), Sink::Bits(b))
            }
            Sink::Bytes(bytes) => {
                let (a, b) = bytes.split_at_mut(middle);
                (Sink::Bytes(a), Sink::Bytes(b))
            }
            Sink::None => (Sink::None, Sink::None),
        };
        let rest = Job {
            first: self.first + middle,
            len: self.len - middle,
            scale: self.scale,
            source: source_rest,
            data: data_rest,
            sink: sink_rest,
            streams: self.streams,
        };
        let job = Job {
            first: self.first,
            len: middle,
            scale: self.scale,
            source,
            data,
            sink,
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

    /// Elements decided before they are applied: as many as the words drawn at a time decide, so that
    /// arithmetic and memory take short turns; a whole tile where those words would be cut.
    fn piece(&self) -> usize {
        let dropout = match self.source {
            Source::Drawn(dropout) => dropout,
            Source::Mapped(_, map) => return mapped::piece(map),
            _ => return TILE,
        };
        let random_bits = dropout.probability.random_bits();
        if dropout.element_offset.is_multiple_of(random_bits.lanes().into()) {
            WORDS * 32 / random_bits.bits() as usize
        } else {
            TILE
        }
    }
}

impl<T: Element> Compute for Job<'_, T> {
    #[inline(always)]
    fn compute(mut self, instructions: impl Instructions) {
        let scale = self.scale;
        // The common case in one go: drawn, applied, nothing stored.
        if let (Some(in_one_go), Sink::None) = (self.source.in_one_go(), &self.sink) {
            let (first, len, streams) = (self.first as u64, self.len, self.streams);
            match &mut self.data {
                Data::Apart(x, y) => {
                    let make = Dropped { of: *x, scale };
                    return in_one_go.make(first, instructions, make, y, streams);
                }
                Data::Fused(fused, y) => {
                    let make = Dropped { of: &*fused, scale };
                    return in_one_go.make(first, instructions, make, y, streams);
                }
                Data::InPlace(y) => return in_one_go.decide(first, 0..len, instructions, &mut InPlace { y, scale }),
                Data::None => {}
            }
        }
        let piece = self.piece();
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
            match self.source {
                Source::Drawn(dropout) => {
                    let first = (self.first + at) as u64;
                    draw(&dropout, first, 0..keep.len(), instructions, &mut Keep { keep });
                }
                Source::Mapped(dropout, map) => {
                    let first = (self.first + at) as u64;
                    draw_mapped(dropout, map, first, keep, instructions, &mut ahead);
                }
                Source::Seeded(call, seeds) => instructions.apart(Seeded {
                    call,
                    seeds,
                    first: (self.first + at) as u64,
                    keep,
                }),
                Source::Bits(bits) => unpack_bits(instructions, &bits[at / 32..], keep),
                Source::Bytes(bytes) => keep.copy_from_slice(&bytes[at..end]),
                Source::All => keep.fill(1),
            }
            let keep = &*keep;
            let decisions: &[KeepByte] = bytemuck::cast_slice(keep);
            match &mut self.data {
                Data::Apart(x, y) => {
                    let make = Dropped { of: *x, scale };
                    Made { make, y }.decide(instructions, at, decisions, 0);
                }
                Data::InPlace(y) => InPlace { y, scale }.decide(instructions, at, decisions, 0),
                Data::Fused(fused, y) => {
                    let make = Dropped { of: &*fused, scale };
                    Made { make, y }.decide(instructions, at, decisions, 0);
                }
                Data::None => {}
            }
            match &mut self.sink {
                Sink::Bits(bits) => pack_bits(instructions, keep, &mut bits[at / 32..]),
                Sink::Bytes(bytes) => bytes[at..end].copy_from_slice(keep),
                Sink::None => {}
            }
            at = end;
        }
    }
}

/// Whether an output is better stored past the caches: where it is far longer than they are, and drawing takes less
/// than memory does. For which that is, was measured on both instruction sets, see BENCHMARKS.md.
pub(super) fn streams<T: Element>(
    len: usize,
    random_bits: RandomBits,
    map: Option<&IndexMap>,
    is_in_step: impl FnOnce() -> bool,
) -> bool {
    #[cfg(target_arch = "x86_64")]
    let (cache, has_avx512) = (x86::third_level_cache(), x86::has_avx512());
    #[cfg(not(target_arch = "x86_64"))]
    let (cache, has_avx512) = (usize::MAX, false);
    if len.saturating_mul(size_of::<T>()) / 2 < cache {
        return false;
    }
    let shares_far = map.is_some_and(mapped::shares_far);
    T::DTYPE != DType::F32
        || shares_far
        || match random_bits {
            // By way of a buffer it would take longer.
            RandomBits::B32 => has_avx512 && is_in_step(),
            RandomBits::B16 => has_avx512,
            RandomBits::B8 => true,
        }
}

/// Whether the output is one run of the stream, of which a block begins where a cache line does.
pub(super) fn is_in_step<T>(draw: &Draw<'_>, data: &Data<'_, T>) -> bool {
    let (Data::Apart(_, y) | Data::Fused(_, y)) = data else {
        return false;
    };
    let lanes = draw.dropout.probability.random_bits().lanes();
    let is_run = !y.is_empty() && draw.map.is_none_or(IndexMap::is_contiguous);
    is_run && (draw.global(0) + before_line(y) as u64).is_multiple_of(lanes.into())
}

pub(super) fn training<'a, T: Element>(draw: impl Into<Draw<'a>>, len: usize, data: Data<'a, T>) -> Job<'a, T> {
    let draw = draw.into();
    let Draw { dropout, map, seeds } = draw;
    let random_bits = dropout.probability.random_bits();
    let streams = streams::<T>(len, random_bits, map, || is_in_step(&draw, &data));
    Job {
        first: 0,
        len,
        scale: dropout.probability.training_scale(dropout.scale_mode),
        source: match (map, seeds) {
            _ if len == 0 => Source::All,
            (_, Some(seeds)) => Source::Seeded(draw, seeds),
            (None, None) => Source::Drawn(*dropout),
            // Rows of a tensor, say: nothing but an offset.
            (Some(map), None) if map.is_contiguous() => Source::Drawn(dropout.with_element_offset(draw.global(0))),
            (Some(map), None) => Source::Mapped(dropout, map),
        },
        data,
        sink: Sink::None,
        streams,
    }
}

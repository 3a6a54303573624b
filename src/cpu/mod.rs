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

mod fused;
mod mapped;
mod pages;
mod words;
#[cfg(target_arch = "x86_64")]
mod x86;

use core::ops::Range;

use fused::Fused;
pub use fused::{bias_gradient, forward_fused};
use half::{bf16, f16};
use mapped::{Way, decide_runs, draw_mapped};
use words::{Instructions, Portable, READ, WORDS, WRITE, Words};

#[cfg(test)]
use crate::MaskFormat;
use crate::draw::Seeds;
use crate::element::bit_mask_words;
use crate::error::check_length;
use crate::{DType, Draw, Dropout, Element, IndexMap, RandomBits, SliceError};

/// What jobs are cut at, and the most elements that are decided before they are applied: a multiple of every
/// block and mask word, and of the elements that the words drawn at a time decide.
const TILE: usize = 512;
/// Elements of one parallel task: a multiple of the tile, and so of every block and mask word.
const TASK: usize = 128 * TILE;

/// K(x), contract section 5, without a branch, so that compilers vectorise it.
#[doc(hidden)]
pub trait Scale: Copy {
    #[must_use]
    fn scaled(self, scale: f32) -> Self;

    /// Widened to f32 without loss.
    #[must_use]
    fn widened(self) -> f32;

    /// Rounded to nearest even; any NaN becomes the canonical one.
    #[must_use]
    fn narrowed(wide: f32) -> Self;

    /// Whether instruction sets have a way of their own, [`scaled_32`](Self::scaled_32).
    const BY_32: bool = false;

    /// Thirty-two at once, by a scale other than 0.
    #[must_use]
    #[inline(always)]
    fn scaled_32(x: [Self; 32], scale: f32, _instructions: impl Instructions) -> [Self; 32] {
        x.map(|x| x.scaled(scale))
    }

    /// Whether instruction sets have conversions of their own, [`widened_32`](Self::widened_32) and
    /// [`narrowed_32`](Self::narrowed_32).
    const CONVERTED_BY_32: bool = false;

    /// Thirty-two at once.
    #[must_use]
    #[inline(always)]
    fn widened_32(x: [Self; 32], _instructions: impl Instructions) -> [f32; 32] {
        x.map(Self::widened)
    }

    /// Thirty-two at once.
    #[must_use]
    #[inline(always)]
    fn narrowed_32(wide: [f32; 32], _instructions: impl Instructions) -> [Self; 32] {
        wide.map(Self::narrowed)
    }
}

/// The f32 product; `quiet` marks a NaN operand, infinity times zero gives the canonical NaN.
#[inline(always)]
fn product(x: f32, scale: f32) -> u32 {
    let product = x * scale;
    if product.is_nan() {
        0x7fc0_0000
    } else {
        product.to_bits()
    }
}

impl Scale for f32 {
    #[inline(always)]
    fn widened(self) -> f32 {
        self
    }

    #[inline(always)]
    fn narrowed(wide: f32) -> Self {
        if wide.is_nan() {
            Self::from_bits(0x7fc0_0000)
        } else {
            wide
        }
    }

    #[inline(always)]
    fn scaled(self, scale: f32) -> Self {
        let bits = if self.is_nan() {
            self.to_bits() | 0x0040_0000
        } else {
            product(self, scale)
        };
        Self::from_bits(bits)
    }
}

/// Rounds anything but a NaN to the nearest bf16, ties to even.
#[inline(always)]
fn f32_to_bf16(bits: u32) -> u16 {
    ((bits + 0x7fff + ((bits >> 16) & 1)) >> 16) as u16
}

impl Scale for bf16 {
    #[inline(always)]
    fn widened(self) -> f32 {
        f32::from_bits(u32::from(self.to_bits()) << 16)
    }

    #[inline(always)]
    fn narrowed(wide: f32) -> Self {
        Self::from_bits(if wide.is_nan() {
            0x7fc0
        } else {
            f32_to_bf16(wide.to_bits())
        })
    }

    const BY_32: bool = true;

    #[inline(always)]
    fn scaled_32(x: [Self; 32], scale: f32, instructions: impl Instructions) -> [Self; 32] {
        instructions.scaled_bf16(x, scale)
    }

    #[inline(always)]
    fn scaled(self, scale: f32) -> Self {
        let x = self.to_bits();
        let product = product(f32::from_bits(u32::from(x) << 16), scale);
        let narrow = if product & 0x7fff_ffff > 0x7f80_0000 {
            0x7fc0
        } else {
            f32_to_bf16(product)
        };
        Self::from_bits(if x & 0x7fff > 0x7f80 { x | 0x0040 } else { narrow })
    }
}

/// Widens a finite or infinite f16 magnitude exactly.
#[inline(always)]
fn f16_to_f32(magnitude: u16) -> f32 {
    let m = u32::from(magnitude);
    let subnormal = m as f32 * f32::from_bits(103 << 23); // 2^-24
    let rebias = if m >= 0x7c00 { 224 } else { 112 };
    if m < 0x0400 {
        subnormal
    } else {
        f32::from_bits((m << 13) + (rebias << 23))
    }
}

/// Rounds a finite or infinite f32 magnitude to the nearest f16, ties to even.
#[inline(always)]
fn f32_to_f16(magnitude: u32) -> u16 {
    let exponent = magnitude >> 23;
    let significand = (magnitude & 0x7f_ffff) | 0x80_0000;
    // Bits to drop: 13, more for a subnormal result; 25 leave nothing.
    let shift = 126u32.saturating_sub(exponent).clamp(13, 25);
    let odd = (significand >> shift) & 1;
    let rounded = (significand + (1 << (shift - 1)) - 1 + odd) >> shift;
    let narrow = (exponent.saturating_sub(113) << 10) + rounded;
    narrow.min(0x7c00) as u16
}

impl Scale for f16 {
    #[inline(always)]
    fn widened(self) -> f32 {
        let x = self.to_bits();
        f32::from_bits(f16_to_f32(x & 0x7fff).to_bits() | u32::from(x & 0x8000) << 16)
    }

    #[inline(always)]
    fn narrowed(wide: f32) -> Self {
        let bits = wide.to_bits();
        let narrow = (bits >> 16) as u16 & 0x8000 | f32_to_f16(bits & 0x7fff_ffff);
        Self::from_bits(if wide.is_nan() { 0x7e00 } else { narrow })
    }

    #[inline(always)]
    fn scaled(self, scale: f32) -> Self {
        let x = self.to_bits();
        let magnitude = x & 0x7fff;
        let product = product(f16_to_f32(magnitude), scale);
        let narrow = if product > 0x7f80_0000 {
            0x7e00
        } else {
            (x & 0x8000) | f32_to_f16(product)
        };
        Self::from_bits(if magnitude > 0x7c00 { x | 0x0200 } else { narrow })
    }

    const BY_32: bool = true;

    #[inline(always)]
    fn scaled_32(x: [Self; 32], scale: f32, instructions: impl Instructions) -> [Self; 32] {
        instructions.scaled_f16(x, scale)
    }

    const CONVERTED_BY_32: bool = true;

    #[inline(always)]
    fn widened_32(x: [Self; 32], instructions: impl Instructions) -> [f32; 32] {
        instructions.widened_f16(x)
    }

    #[inline(always)]
    fn narrowed_32(wide: [f32; 32], instructions: impl Instructions) -> [Self; 32] {
        instructions.narrowed_f16(wide)
    }
}

/// Where keep decisions come from.
#[derive(Clone, Copy)]
enum Source<'a> {
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
enum InOneGo<'a> {
    Run(Dropout),
    Runs(&'a Dropout, &'a IndexMap),
}

impl InOneGo<'_> {
    #[inline(always)]
    fn decide(self, first: u64, len: usize, instructions: impl Instructions, decide: &mut impl Decide) {
        match self {
            Self::Run(dropout) => draw(&dropout, first, 0..len, instructions, decide),
            Self::Runs(dropout, map) => decide_runs(dropout, map, first, len, instructions, decide),
        }
    }
}

/// What they are applied to.
enum Data<'a, T> {
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
trait Fetch {
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
struct NothingAhead;

impl Fetch for NothingAhead {
    #[inline(always)]
    fn fetch_next(&mut self, _elements: usize) {}
}

/// Where they are stored.
enum Sink<'a> {
    None,
    Bits(&'a mut [u32]),
    Bytes(&'a mut [u8]),
}

/// A run of elements that starts at local index `first`, a multiple of [`TILE`].
struct Job<'a, T> {
    first: usize,
    len: usize,
    scale: f32,
    source: Source<'a>,
    data: Data<'a, T>,
    sink: Sink<'a>,
    /// Whether the output goes past the caches, where nothing is stored beside it.
    streams: bool,
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
    fn run(self) {
        let task = match self.source {
            Source::Mapped(_, map) => mapped::task(map),
            _ => TASK,
        };
        if self.len <= task {
            self.run_here();
        } else {
            let middle = self.len.div_ceil(task) / 2 * task;
            let (job, rest) = self.split_at(middle);
            rayon::join(|| job.run(), || rest.run());
        }
    }

    fn run_here(self) {
        #[cfg(target_arch = "x86_64")]
        let Err(portable) = x86::run_here(self) else {
            return;
        };
        #[cfg(not(target_arch = "x86_64"))]
        let portable = self;
        portable.run_with(Portable);
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

    /// Does the job here. Inlined into each version of the caller, so that its loops are vectorised for the
    /// instructions that the caller may use.
    #[inline(always)]
    fn run_with(mut self, instructions: impl Instructions) {
        let scale = self.scale;
        // The common case in one go: drawn, applied, nothing stored.
        if let (Some(in_one_go), Sink::None) = (self.source.in_one_go(), &self.sink) {
            let (first, len) = (self.first as u64, self.len);
            match &mut self.data {
                Data::Apart(x, y) if self.streams => {
                    let buffer = Buffer([T::zeroed(); WORDS * 4]);
                    in_one_go.decide(first, len, instructions, &mut Streamed { x, y, scale, buffer });
                    return instructions.streamed();
                }
                Data::Apart(x, y) => {
                    return in_one_go.decide(first, len, instructions, &mut Apart { x, y, scale });
                }
                Data::InPlace(y) => return in_one_go.decide(first, len, instructions, &mut InPlace { y, scale }),
                Data::Fused(..) | Data::None => {}
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
                Source::Seeded(draw, seeds) => draw_seeded(draw, seeds, (self.first + at) as u64, keep, instructions),
                Source::Bits(bits) => unpack_bits(&bits[at / 32..], keep),
                Source::Bytes(bytes) => keep.copy_from_slice(&bytes[at..end]),
                Source::All => keep.fill(1),
            }
            let keep = &*keep;
            let decisions: &[KeepByte] = bytemuck::cast_slice(keep);
            match &mut self.data {
                Data::Apart(x, y) => apply(instructions, Some(&x[at..end]), &mut y[at..end], decisions, 0, scale),
                Data::InPlace(y) => apply(instructions, None, &mut y[at..end], decisions, 0, scale),
                Data::Fused(fused, y) => fused.apply(instructions, at, keep, scale, &mut y[at..end]),
                Data::None => {}
            }
            match &mut self.sink {
                Sink::Bits(bits) => pack_bits(keep, &mut bits[at / 32..]),
                Sink::Bytes(bytes) => bytes[at..end].copy_from_slice(keep),
                Sink::None => {}
            }
            at = end;
        }
    }
}

#[inline(always)]
fn decided<T: Element>(x: T, keep: bool, scale: f32) -> T {
    if keep { x.scaled(scale) } else { T::zeroed() }
}

#[inline(always)]
fn unpack_bits(bits: &[u32], keep: &mut [u8]) {
    for (lanes, word) in keep.chunks_mut(32).zip(bits) {
        for (i, lane) in lanes.iter_mut().enumerate() {
            *lane = (word >> i & 1) as u8;
        }
    }
}

#[inline(always)]
fn pack_bits(keep: &[u8], bits: &mut [u32]) {
    for (lanes, word) in keep.chunks(32).zip(bits) {
        *word = lanes
            .iter()
            .enumerate()
            .fold(0, |word, (i, &lane)| word | u32::from(lane) << i);
    }
}

/// What decides about an element: its random bits as they lie in the words of the stream, little-endian, which
/// keep it where the integer is at most the limit; or a byte of a mask.
trait Decision: bytemuck::Pod {
    fn is_kept(self, limit: u32) -> bool;
}

impl Decision for u32 {
    #[inline(always)]
    fn is_kept(self, limit: u32) -> bool {
        self <= limit
    }
}

impl Decision for u16 {
    #[inline(always)]
    fn is_kept(self, limit: u32) -> bool {
        Self::from_le(self) <= limit as Self
    }
}

impl Decision for u8 {
    #[inline(always)]
    fn is_kept(self, limit: u32) -> bool {
        self <= limit as Self
    }
}

/// A byte of a mask: kept where it is not 0.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(transparent)]
struct KeepByte(u8);

impl Decision for KeepByte {
    #[inline(always)]
    fn is_kept(self, _limit: u32) -> bool {
        self.0 != 0
    }
}

/// y = K(x) where kept, else +0; in place where there is no x. All are equally long.
#[inline(always)]
fn apply<T: Element, D: Decision>(
    instructions: impl Instructions,
    x: Option<&[T]>,
    y: &mut [T],
    decisions: &[D],
    limit: u32,
    scale: f32,
) {
    if T::BY_32 && scale != 0.0 {
        // All of them first, then what is dropped: two short loops, each of which is vectorised.
        if let Some(x) = x {
            y.copy_from_slice(x);
        }
        scale_by_32(instructions, y, scale);
        for (y, decision) in y.iter_mut().zip(decisions) {
            *y = if decision.is_kept(limit) { *y } else { T::zeroed() };
        }
        return;
    }
    match x {
        Some(x) => {
            for ((y, &x), decision) in y.iter_mut().zip(x).zip(decisions) {
                *y = decided(x, decision.is_kept(limit), scale);
            }
        }
        None => {
            for (y, decision) in y.iter_mut().zip(decisions) {
                *y = decided(*y, decision.is_kept(limit), scale);
            }
        }
    }
}

/// [`apply`] where all are decided alike.
#[inline(always)]
fn apply_all<T: Element>(instructions: impl Instructions, x: Option<&[T]>, y: &mut [T], keep: bool, scale: f32) {
    if !keep {
        y.fill(T::zeroed());
        return;
    }
    match x {
        Some(x) if T::BY_32 && scale != 0.0 => {
            y.copy_from_slice(x);
            scale_by_32(instructions, y, scale);
        }
        None if T::BY_32 && scale != 0.0 => scale_by_32(instructions, y, scale),
        Some(x) => y.iter_mut().zip(x).for_each(|(y, x)| *y = x.scaled(scale)),
        None => y.iter_mut().for_each(|y| *y = y.scaled(scale)),
    }
}

#[inline(always)]
fn scale_by_32<T: Element>(instructions: impl Instructions, y: &mut [T], scale: f32) {
    let mut chunks = y.chunks_exact_mut(32);
    for chunk in &mut chunks {
        if let Some(chunk) = chunk.first_chunk_mut() {
            *chunk = T::scaled_32(*chunk, scale, instructions);
        }
    }
    for y in chunks.into_remainder() {
        *y = y.scaled(scale);
    }
}

/// What is done with decisions, piece by piece.
trait Decide {
    /// Starts to fetch elements `[at, at + len)` of the run, as far as they exist.
    fn fetch(&self, instructions: impl Instructions, at: usize, len: usize);
    /// Elements `[at, at + lanes.len())` of the run.
    fn decide<L: Decision>(&mut self, instructions: impl Instructions, at: usize, lanes: &[L], limit: u32);
    /// All of a range, alike.
    fn decide_all(&mut self, instructions: impl Instructions, range: Range<usize>, keep: bool);
}

struct Apart<'a, T> {
    x: &'a [T],
    y: &'a mut [T],
    scale: f32,
}

impl<T: Element> Decide for Apart<'_, T> {
    #[inline(always)]
    fn fetch(&self, instructions: impl Instructions, at: usize, len: usize) {
        instructions.fetch::<READ, _>(self.x, at, len);
        instructions.fetch::<WRITE, _>(self.y, at, len);
    }

    #[inline(always)]
    fn decide<L: Decision>(&mut self, instructions: impl Instructions, at: usize, lanes: &[L], limit: u32) {
        let (x, y) = (&self.x[at..at + lanes.len()], &mut self.y[at..at + lanes.len()]);
        apply(instructions, Some(x), y, lanes, limit, self.scale);
    }

    #[inline(always)]
    fn decide_all(&mut self, instructions: impl Instructions, range: Range<usize>, keep: bool) {
        apply_all(
            instructions,
            Some(&self.x[range.clone()]),
            &mut self.y[range],
            keep,
            self.scale,
        );
    }
}

/// [`Apart`], past the caches.
struct Streamed<'a, T> {
    x: &'a [T],
    y: &'a mut [T],
    scale: f32,
    buffer: Buffer<T>,
}

/// As many elements as the words drawn at a time decide at most, aligned as [`Words`] are.
#[repr(align(64))]
struct Buffer<T>([T; WORDS * 4]);

impl<T: Element> Decide for Streamed<'_, T> {
    #[inline(always)]
    fn fetch(&self, instructions: impl Instructions, at: usize, len: usize) {
        instructions.fetch::<READ, _>(self.x, at, len);
    }

    #[inline(always)]
    fn decide<L: Decision>(&mut self, instructions: impl Instructions, at: usize, lanes: &[L], limit: u32) {
        let (x, y) = (&self.x[at..at + lanes.len()], &mut self.y[at..at + lanes.len()]);
        let buffer = &mut self.buffer.0[..lanes.len()];
        apply(instructions, Some(x), buffer, lanes, limit, self.scale);
        instructions.stream(buffer, y);
    }

    #[inline(always)]
    fn decide_all(&mut self, instructions: impl Instructions, range: Range<usize>, keep: bool) {
        let whole = self.buffer.0.len();
        let (x, y) = (&self.x[range.clone()], &mut self.y[range]);
        if x.len() < whole {
            // Too short for the way through the buffer.
            return apply_all(instructions, Some(x), y, keep, self.scale);
        }
        for (x, y) in x.chunks(whole).zip(y.chunks_mut(whole)) {
            let buffer = &mut self.buffer.0[..x.len()];
            apply_all(instructions, Some(x), buffer, keep, self.scale);
            instructions.stream(buffer, y);
        }
    }
}

struct InPlace<'a, T> {
    y: &'a mut [T],
    scale: f32,
}

impl<T: Element> Decide for InPlace<'_, T> {
    #[inline(always)]
    fn fetch(&self, instructions: impl Instructions, at: usize, len: usize) {
        instructions.fetch::<WRITE, _>(self.y, at, len);
    }

    #[inline(always)]
    fn decide<L: Decision>(&mut self, instructions: impl Instructions, at: usize, lanes: &[L], limit: u32) {
        let y = &mut self.y[at..at + lanes.len()];
        apply(instructions, None, y, lanes, limit, self.scale);
    }

    #[inline(always)]
    fn decide_all(&mut self, instructions: impl Instructions, range: Range<usize>, keep: bool) {
        apply_all(instructions, None, &mut self.y[range], keep, self.scale);
    }
}

/// Decisions as bytes, 1 = kept.
struct Keep<'a> {
    keep: &'a mut [u8],
}

impl Decide for Keep<'_> {
    /// The decisions lie in the first-level cache; the job fetches the tensor.
    #[inline(always)]
    fn fetch(&self, _instructions: impl Instructions, _at: usize, _len: usize) {}

    #[inline(always)]
    fn decide<L: Decision>(&mut self, _instructions: impl Instructions, at: usize, lanes: &[L], limit: u32) {
        for (keep, lane) in self.keep[at..at + lanes.len()].iter_mut().zip(lanes) {
            *keep = u8::from(lane.is_kept(limit));
        }
    }

    #[inline(always)]
    fn decide_all(&mut self, _instructions: impl Instructions, range: Range<usize>, keep: bool) {
        self.keep[range].fill(u8::from(keep));
    }
}

/// Decides elements of a run, the first of which is `first` elements behind the call's first.
#[inline(always)]
fn draw(dropout: &Dropout, first: u64, run: Range<usize>, instructions: impl Instructions, decide: &mut impl Decide) {
    let probability = &dropout.probability;
    if probability.keeps_none() || probability.keeps_all() {
        decide.decide_all(instructions, run, probability.keeps_all());
        return;
    }
    // At least 1 and below 2^b here.
    let limit = (probability.threshold() - 1) as u32;
    match probability.random_bits() {
        RandomBits::B32 => draw_lanes::<u32>(dropout, first, run, instructions, decide, limit),
        RandomBits::B16 => draw_lanes::<u16>(dropout, first, run, instructions, decide, limit),
        RandomBits::B8 => draw_lanes::<u8>(dropout, first, run, instructions, decide, limit),
    }
}

/// Decides the elements from local index `first` on, stretch by stretch of those that share a seed.
#[inline(always)]
fn draw_seeded(call: Draw<'_>, seeds: Seeds<'_>, first: u64, keep: &mut [u8], instructions: impl Instructions) {
    let mut at = 0;
    while at < keep.len() {
        let i = first + at as u64;
        let (seed, left) = seeds.of(i);
        let end = at.saturating_add(left as usize).min(keep.len());
        let keep = &mut keep[at..end];
        let dropout = call.dropout.with_seed(seed);
        match call.map {
            Some(map) => draw_mapped(&dropout, map, i, keep, instructions, &mut NothingAhead),
            None => draw(&dropout, i, 0..keep.len(), instructions, &mut Keep { keep }),
        }
        at = end;
    }
}

#[inline(always)]
fn draw_lanes<L: Decision>(
    dropout: &Dropout,
    first: u64,
    run: Range<usize>,
    instructions: impl Instructions,
    decide: &mut impl Decide,
    limit: u32,
) {
    let lanes_a_block = (16 / size_of::<L>()) as u64;
    let g = dropout.element_offset + first;
    let mut block = g / lanes_a_block;
    // Lanes of the first block that belong to elements before the run.
    let mut skipped = (g % lanes_a_block) as usize;
    let Words(words) = &mut Words([0; WORDS]);
    let Range {
        start: mut at,
        end: len,
    } = run;
    while at < len {
        decide.fetch(
            instructions,
            at + WORDS * 4 / size_of::<L>(),
            WORDS * 4 / size_of::<L>(),
        );
        instructions.words(dropout.seed, dropout.subsequence, block, words);
        if cfg!(target_endian = "big") && size_of::<L>() < 4 {
            *words = words.map(u32::to_le);
        }
        let lanes: &[L] = bytemuck::cast_slice(words);
        let end = len.min(at + lanes.len() - skipped);
        decide.decide(instructions, at, &lanes[skipped..skipped + end - at], limit);
        at = end;
        skipped = 0;
        // May pass the last block of the sequence, but then nothing is left to draw.
        block = block.wrapping_add((WORDS / 4) as u64);
    }
}

/// Whether an output is better stored past the caches: where it is far longer than they are, and drawing takes less
/// than memory does. For which that is, was measured on both instruction sets, see BENCHMARKS.md.
fn streams<T: Element>(len: usize, random_bits: RandomBits, map: Option<&IndexMap>) -> bool {
    #[cfg(target_arch = "x86_64")]
    let cache = x86::third_level_cache();
    #[cfg(not(target_arch = "x86_64"))]
    let cache = usize::MAX;
    let shares_far = map.is_some_and(mapped::shares_far);
    let is_cheap = T::DTYPE != DType::F32 || random_bits == RandomBits::B8 || shares_far;
    is_cheap && len.saturating_mul(size_of::<T>()) / 2 >= cache
}

fn training<'a, T: Element>(draw: impl Into<Draw<'a>>, len: usize, data: Data<'a, T>) -> Job<'a, T> {
    let draw = draw.into();
    let Draw { dropout, map, seeds } = draw;
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
        streams: streams::<T>(len, dropout.probability.random_bits(), map),
    }
}

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
    let job = training(draw, x.len(), Data::Apart(x, y));
    Job {
        sink: Sink::Bits(mask),
        ..job
    }
    .run();
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
    let job = training(draw, x.len(), Data::Apart(x, y));
    Job {
        sink: Sink::Bytes(mask),
        ..job
    }
    .run();
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
    let job = training(draw, dy.len(), Data::Apart(dy, dx));
    Job {
        source: Source::Bits(mask),
        ..job
    }
    .run();
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
    let job = training(draw, dy.len(), Data::InPlace(dy));
    Job {
        source: Source::Bits(mask),
        ..job
    }
    .run();
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
    let job = training(draw, dy.len(), Data::Apart(dy, dx));
    Job {
        source: Source::Bytes(mask),
        ..job
    }
    .run();
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
    let job = training(draw, dy.len(), Data::InPlace(dy));
    Job {
        source: Source::Bytes(mask),
        ..job
    }
    .run();
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
    let job = training::<f32>(draw, len, Data::None);
    Job {
        sink: Sink::Bits(mask),
        ..job
    }
    .run();
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
    let job = training::<f32>(draw, mask.len(), Data::None);
    Job {
        sink: Sink::Bytes(mask),
        ..job
    }
    .run();
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
        Some(scale) => run_inference(scale, x.len(), Data::Apart(x, y)),
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
        run_inference(scale, x.len(), Data::InPlace(x));
    }
    Ok(())
}

fn run_inference<T: Element>(scale: f32, len: usize, data: Data<'_, T>) {
    Job {
        first: 0,
        len,
        scale,
        source: Source::All,
        data,
        sink: Sink::None,
        streams: false,
    }
    .run();
}

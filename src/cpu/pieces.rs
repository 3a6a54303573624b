//! A job's elements piece by piece, decided by bytes that were drawn or given before: where drawing is not one loop with what is
//! done with it. Compiled once for each type of elements, whatever decides.

use core::ops::Range;

use super::columns::{DecideColumns, KeepAhead};
use super::decide::{Decide, Decision, KEEP, KeepByte, unpack_bits};
use super::draw::Seeded;
use super::job::{Data, Sink, TILE};
use super::mapped::{self, DecideRows, DrawMapped, Part, Way};
use super::outputs::{Both, Dropped, InPlace, Keep, KeepBits, Made, Make, Nowhere, Streamed, before_line};
use super::words::{Compute, Instructions};
use crate::draw::Seeds;
use crate::{Draw, Dropout, Element, IndexMap};

/// More elements than there are before a cache line.
const MARGIN: usize = 32;

/// Elements, and what is done with them.
pub(super) struct Pieces<'a, T, I> {
    data: Data<'a, T>,
    len: usize,
    scale: f32,
    streams: bool,
    instructions: I,
}

/// Takes decisions in order, as bytes. What draws them is compiled once for all types of elements.
pub(super) trait TakePieces {
    /// Elements before the first piece that begins where all others may: a multiple of 32 behind the one before.
    fn before(&self) -> usize;
    /// Those of elements from `at` on.
    fn take(&mut self, at: usize, decisions: Decisions<'_>);
}

/// Decisions of elements one after the other.
pub(super) enum Decisions<'a> {
    Each(&'a [u8]),
    /// Of whole thirty-twos.
    Alike {
        len: usize,
        keep: bool,
    },
}

impl<T: Element, I: Instructions> TakePieces for Pieces<'_, T, I> {
    fn before(&self) -> usize {
        match &self.data {
            Data::Apart(_, y) | Data::Fused(_, y) if self.streams => before_line(y),
            _ => 0,
        }
    }

    fn take(&mut self, at: usize, decisions: Decisions<'_>) {
        self.instructions.apart(Piece {
            data: &mut self.data,
            scale: self.scale,
            streams: self.streams,
            at,
            decisions,
        });
    }
}

/// Where decisions come from that are made piece by piece.
#[derive(Clone, Copy)]
pub(super) enum ByPieces<'a> {
    Mapped(&'a Dropout, &'a IndexMap),
    Seeded(Draw<'a>, Seeds<'a>),
    Bits(&'a [u32]),
    Bytes(&'a [u8]),
}

impl ByPieces<'_> {
    /// Both halves; `middle` is a multiple of 32.
    pub(super) fn split_at(self, middle: usize) -> (Self, Self) {
        match self {
            Self::Mapped(..) | Self::Seeded(..) => (self, self),
            Self::Bits(bits) => {
                let (a, b) = bits.split_at(middle / 32);
                (Self::Bits(a), Self::Bits(b))
            }
            Self::Bytes(bytes) => {
                let (a, b) = bytes.split_at(middle);
                (Self::Bytes(a), Self::Bytes(b))
            }
        }
    }
}

impl<'a, T: Element, I: Instructions> Pieces<'a, T, I> {
    /// Past the caches with `streams`, but for an output beside which decisions are stored, whose words begin where no line need.
    #[inline(always)]
    pub(super) fn new(data: Data<'a, T>, len: usize, scale: f32, streams: bool, instructions: I) -> Self {
        Self {
            streams: I::STREAMS && streams && !matches!(data, Data::Stored(..)),
            data,
            len,
            scale,
            instructions,
        }
    }

    /// As many decisions as are worth taking where they take a while to draw: as measured, see BENCHMARKS.md.
    fn enough(&self) -> usize {
        if self.streams { KEEP / 2 } else { KEEP }
    }

    /// Decides all, which local index `first` is the first of.
    #[inline(always)]
    pub(super) fn decide(mut self, source: ByPieces<'_>, first: u64) {
        match source {
            ByPieces::Mapped(dropout, map) => {
                let part = Part {
                    dropout,
                    map,
                    first,
                    len: self.len,
                };
                match Way::of(map) {
                    Way::Runs | Way::Shared => self.decide_rows(part),
                    Way::Columns => self.decide_columns(part),
                    Way::ShortRuns | Way::FewColumns | Way::Scattered => self.decide_by_pieces(source, first),
                }
            }
            source => self.decide_by_pieces(source, first),
        }
        if self.streams {
            self.instructions.streamed();
        }
    }

    #[inline(always)]
    fn decide_rows(&mut self, part: Part<'_>) {
        let is_long = mapped::has_long_rows(part.map);
        let directly = is_long && !self.streams;
        let Self {
            scale, instructions, ..
        } = *self;
        match &mut self.data {
            // Without a detour. Both as for one run, or that would be compiled twice.
            Data::Apart(x, y) if directly => {
                let make = Dropped { of: *x, scale };
                let decide = &mut Both(Made { make, y }, Nowhere);
                instructions.apart(DecideRows { part, decide });
            }
            Data::Fused(fused, y) if directly => {
                let make = Dropped { of: &*fused, scale };
                let decide = &mut Both(Made { make, y }, Nowhere);
                instructions.apart(DecideRows { part, decide });
            }
            Data::InPlace(y) if is_long => {
                let decide = &mut InPlace::new(instructions, y, scale, self.streams);
                instructions.apart(DecideRows { part, decide });
            }
            Data::Mask(Sink::Bits(bits)) => {
                let decide = &mut KeepBits { bits };
                instructions.apart(DecideRows { part, decide });
            }
            Data::Mask(Sink::Bytes(keep)) => {
                let decide = &mut Keep { keep };
                instructions.apart(DecideRows { part, decide });
            }
            Data::Apart(..) | Data::InPlace(_) | Data::Fused(..) | Data::Stored(..) => {
                // Next to nothing is drawn where decisions are shared.
                let enough = if Way::of(part.map) == Way::Shared {
                    KEEP
                } else {
                    self.enough()
                };
                let mut gathered = Gathered::new(self, enough);
                let decide = &mut gathered;
                instructions.apart(DecideRows { part, decide });
                gathered.finish();
            }
        }
    }

    /// Where each is decided by itself: without a detour, but for bits, which share words.
    #[inline(always)]
    fn decide_columns(&mut self, part: Part<'_>) {
        let Self {
            scale, instructions, ..
        } = *self;
        match &mut self.data {
            Data::Apart(x, y) => {
                let make = Dropped { of: *x, scale };
                let decide = &mut Made { make, y };
                instructions.apart(DecideColumns { part, decide });
            }
            Data::Fused(fused, y) => {
                let make = Dropped { of: &*fused, scale };
                let decide = &mut Made { make, y };
                instructions.apart(DecideColumns { part, decide });
            }
            Data::InPlace(y) => {
                let decide = &mut InPlace::new(instructions, y, scale, false);
                instructions.apart(DecideColumns { part, decide });
            }
            Data::Mask(Sink::Bytes(keep)) => {
                let mut ahead = NothingAhead;
                let decide = &mut KeepAhead::new(keep, &mut ahead);
                instructions.apart(DecideColumns { part, decide });
            }
            Data::Stored(..) | Data::Mask(Sink::Bits(_)) => {
                self.decide_by_pieces(ByPieces::Mapped(part.dropout, part.map), part.first);
            }
        }
    }

    #[inline(always)]
    fn decide_by_pieces(&mut self, source: ByPieces<'_>, first: u64) {
        let instructions = self.instructions;
        let piece = match source {
            ByPieces::Mapped(_, map) => mapped::piece(map),
            ByPieces::Seeded(..) => TILE,
            ByPieces::Bits(_) | ByPieces::Bytes(_) => self.enough(),
        };
        let (mut tile, mut longer) = ([0u8; TILE + MARGIN], Vec::new());
        let keep = if piece > TILE {
            longer.resize(piece.min(self.len) + MARGIN, 0u8);
            &mut longer[..]
        } else {
            &mut tile[..]
        };
        let (mut at, mut end) = (0, self.before() + piece);
        while at < self.len {
            end = end.min(self.len);
            let keep = &mut keep[..end - at];
            let first = first + at as u64;
            // What drawing takes long for is fetched meanwhile, else what comes next.
            let mut ahead = Ahead {
                data: &self.data,
                instructions,
                streams: self.streams,
                at: if piece > TILE { at } else { end },
            };
            let decisions = match source {
                ByPieces::Mapped(dropout, map) => {
                    instructions.apart(DrawMapped {
                        dropout,
                        map,
                        first,
                        keep: &mut *keep,
                        ahead: &mut ahead,
                    });
                    keep
                }
                ByPieces::Seeded(call, seeds) => {
                    ahead.fetch_next(piece);
                    instructions.apart(Seeded {
                        call,
                        seeds,
                        first,
                        keep: &mut *keep,
                    });
                    keep
                }
                ByPieces::Bits(bits) => {
                    unpack_bits(instructions, bits, at, keep);
                    keep
                }
                ByPieces::Bytes(bytes) => &bytes[at..end],
            };
            self.take(at, Decisions::Each(decisions));
            (at, end) = (end, end + piece);
        }
    }
}

/// What is done with one.
struct Piece<'p, 'a, T> {
    data: &'p mut Data<'a, T>,
    scale: f32,
    streams: bool,
    at: usize,
    decisions: Decisions<'p>,
}

impl<T: Element> Compute for Piece<'_, '_, T> {
    #[inline(always)]
    fn compute(self, instructions: impl Instructions) {
        let Self {
            data,
            scale,
            streams,
            at,
            decisions,
        } = self;
        match data {
            Data::Apart(x, y) | Data::Stored(x, y, _) => {
                decisions.make(instructions, at, Dropped { of: *x, scale }, y, streams);
            }
            Data::InPlace(y) => decisions.hand_to(&mut InPlace::new(instructions, y, scale, streams), instructions, at),
            Data::Fused(fused, y) => {
                decisions.make(instructions, at, Dropped { of: &*fused, scale }, y, streams);
            }
            Data::Mask(_) => {}
        }
        if let Data::Stored(_, _, sink) | Data::Mask(sink) = data {
            match decisions {
                Decisions::Each(keep) => sink.store(instructions, at, keep),
                Decisions::Alike { len, keep } => sink.fill(at..at + len, keep),
            }
        }
    }
}

impl Decisions<'_> {
    #[inline(always)]
    fn make<T: Element, I: Instructions>(
        &self,
        instructions: I,
        at: usize,
        make: impl Make<T>,
        y: &mut [T],
        streams: bool,
    ) {
        let mut made = Made { make, y };
        if I::STREAMS && streams {
            self.hand_to(&mut Streamed::new(instructions, made), instructions, at);
        } else {
            self.hand_to(&mut made, instructions, at);
        }
    }

    #[inline(always)]
    fn hand_to<D: Decide>(&self, decide: &mut D, instructions: impl Instructions, at: usize) {
        match *self {
            Self::Each(keep) => {
                let keep: &[KeepByte] = bytemuck::cast_slice(keep);
                if D::AT_LINES {
                    let (before, lines) = keep.split_at(decide.before_line(at).min(keep.len()));
                    decide.decide(instructions, at, before, 0);
                    decide.decide_piece(instructions, at + before.len(), lines, 0);
                } else {
                    decide.decide(instructions, at, keep, 0);
                }
            }
            Self::Alike { len, keep } => decide.decide_all(instructions, at..at + len, keep),
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
    streams: bool,
    at: usize,
}

impl<T: Element, I: Instructions> Fetch for Ahead<'_, '_, T, I> {
    #[inline(always)]
    fn fetch_next(&mut self, elements: usize) {
        self.data.fetch(self.instructions, self.streams, self.at, elements);
        self.at = self.at.saturating_add(elements);
    }
}

/// What is decided lies in the cache already.
pub(super) struct NothingAhead;

impl Fetch for NothingAhead {
    #[inline(always)]
    fn fetch_next(&mut self, _elements: usize) {}
}

/// Decisions that come in order and begin and end anywhere: they wait until there are some for a piece. A
/// cache line that two stores share, of which one goes past the caches, takes ten times as long.
pub(super) struct Gathered<'a> {
    pieces: &'a mut dyn TakePieces,
    /// What waits, from element `first` on: as many as come at a time behind fewer than are taken.
    keep: [u8; 2 * KEEP + SLACK],
    waiting: usize,
    first: usize,
    /// Of what waits, what is not to be a multiple of 32.
    before: usize,
    enough: usize,
}

/// From so many on, elements decided alike are made at once: as measured, see BENCHMARKS.md.
const LONG_ALIKE: usize = 16 * KEEP;

/// What lies behind those that wait may be written, too.
const SLACK: usize = 64;

impl<'a> Gathered<'a> {
    /// Hands on from `enough` on, at most [`KEEP`].
    pub(super) fn new(pieces: &'a mut dyn TakePieces, enough: usize) -> Self {
        let before = pieces.before();
        Self {
            pieces,
            enough,
            keep: [0; _],
            waiting: 0,
            first: 0,
            before,
        }
    }

    /// At most [`SLACK`].
    #[inline(always)]
    fn push_alike(&mut self, count: usize, keep: bool) {
        self.keep[self.waiting..][..SLACK].copy_from_slice(&[u8::from(keep); SLACK]);
        self.waiting += count;
    }

    #[inline(always)]
    fn hand_on_enough(&mut self) {
        if self.waiting >= self.enough {
            let left = (self.waiting - self.before) % 32;
            self.hand_on(self.waiting - left);
        }
    }

    // Cold, or what is drawn would leave the registers however seldom this is called.
    #[cold]
    #[inline(never)]
    fn hand_on(&mut self, count: usize) {
        self.before = 0;
        if count == 0 {
            return;
        }
        self.pieces.take(self.first, Decisions::Each(&self.keep[..count]));
        self.keep.copy_within(count..count + 32, 0);
        self.first += count;
        self.waiting -= count;
    }

    /// After the last elements.
    pub(super) fn finish(mut self) {
        self.hand_on(self.waiting);
    }
}

impl Decide for Gathered<'_> {
    #[inline(always)]
    fn decide<L: Decision>(&mut self, instructions: impl Instructions, _at: usize, lanes: &[L], limit: u32) {
        let keep = &mut self.keep[self.waiting..];
        Keep { keep }.decide(instructions, 0, lanes, limit);
        self.waiting += lanes.len();
        self.hand_on_enough();
    }

    #[inline(always)]
    fn decide_all(&mut self, _instructions: impl Instructions, range: Range<usize>, keep: bool) {
        let mut left = range.len();
        if left >= LONG_ALIKE {
            // So many make those that wait whole thirty-twos, behind what is not to be.
            let some = self.before.checked_sub(self.waiting);
            let some = some.unwrap_or_else(|| (self.before.wrapping_sub(self.waiting)) % 32);
            self.push_alike(some, keep);
            self.hand_on(self.waiting);
            left -= some;
            let len = left / 32 * 32;
            self.pieces.take(self.first, Decisions::Alike { len, keep });
            self.first += len;
            left -= len;
        }
        while left > 0 {
            let some = left.min(SLACK);
            self.push_alike(some, keep);
            left -= some;
            self.hand_on_enough();
        }
    }
}

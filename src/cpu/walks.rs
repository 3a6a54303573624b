//! Runs of the stream that are walked along side by side: each step decides one element of each.

use super::words::{BATCH, Blocks, Compute, Instructions, Sequence};
use crate::{Dropout, RandomBits};

/// As many runs as blocks are drawn at a time.
pub(super) struct Walks<I: Instructions> {
    sequence: Sequence,
    instructions: I,
    random_bits: RandomBits,
    /// What [`raised`] words are compared with.
    limit: u32,
    walk: I::Walk,
    /// Steps in the first blocks before the runs begin, where those are as many for all.
    before: usize,
    /// Else how far each is moved, and the blocks of which those to come are made and the ones after, in turns.
    are_moved: bool,
    moves: Moves,
    blocks: [Blocks; 2],
    next: usize,
}

/// What is done with decisions.
pub(super) trait TakeStep<I> {
    /// One of each run, which keeps an element where the word is at most the limit.
    fn take(&mut self, instructions: I, step: usize, words: &[u32; BATCH], limit: u32);
}

impl<I: Instructions> Walks<I> {
    /// With a probability that leaves something to decide.
    #[inline(always)]
    pub(super) fn of(dropout: &Dropout, instructions: I) -> Self {
        let random_bits = dropout.probability.random_bits();
        Self {
            sequence: Sequence::of(dropout),
            instructions,
            random_bits,
            limit: (dropout.probability.threshold() << (32 - random_bits.bits())).wrapping_sub(1) as u32,
            walk: I::Walk::default(),
            before: 0,
            are_moved: false,
            moves: Moves::default(),
            blocks: [Blocks::default(); 2],
            next: 0,
        }
    }

    /// Takes so many steps from these elements of the stream on.
    #[inline(always)]
    pub(super) fn go(&mut self, starts: &[u64; BATCH], steps: usize, take: &mut impl TakeStep<I>) {
        let (bits, lanes) = (self.random_bits.bits(), self.random_bits.lanes() as usize);
        let (instructions, limit) = (self.instructions, self.limit);
        instructions.apart(Begin {
            walks: &mut *self,
            starts,
            steps,
        });
        let mut words = Blocks::default();
        let (mut step, mut lane) = (0, self.before);
        while step < steps {
            instructions.apart(Next {
                walks: &mut *self,
                words: &mut words,
            });
            let mut bit = lane as u32 * bits;
            let end = steps.min(step + lanes - lane);
            while step < end {
                // Of four, which compilers don't know.
                let words = &words.0[bit as usize / 32 % 4];
                take.take(instructions, step, &raised(words, 32 - bits - bit % 32), limit);
                step += 1;
                bit += bits;
            }
            lane = 0;
        }
    }
}

struct Begin<'w, I: Instructions> {
    walks: &'w mut Walks<I>,
    starts: &'w [u64; BATCH],
    steps: usize,
}

impl<I: Instructions> Compute for Begin<'_, I> {
    #[inline(always)]
    fn compute(self, _: impl Instructions) {
        let Self { walks, starts, steps } = self;
        let (bits, lanes) = (walks.random_bits.bits(), walks.random_bits.lanes());
        let (mut numbers, mut before) = ([0; BATCH], [0; BATCH]);
        for i in 0..BATCH {
            numbers[i] = starts[i] >> lanes.trailing_zeros();
            before[i] = starts[i] as u32 & (lanes - 1);
        }
        let (mut differ, first) = (0, before[0]);
        for before in before {
            differ |= before ^ first;
        }
        // One more than is needed, where each is made of two.
        let blocks = steps / lanes as usize + 2;
        walks
            .instructions
            .walk(&walks.sequence, &numbers, blocks, &mut walks.walk);
        walks.are_moved = differ != 0;
        walks.before = if walks.are_moved { 0 } else { first as usize };
        if walks.are_moved {
            walks.moves.set(&before, bits);
            walks.next = 1;
            walks
                .instructions
                .step(&walks.sequence, &mut walks.walk, &mut walks.blocks[0]);
        }
    }
}

/// So that what decides is uppermost, above bits that do not count.
#[inline(always)]
fn raised(words: &[u32; BATCH], by: u32) -> [u32; BATCH] {
    let mut raised = *words;
    // A loop, for closures are not compiled for the caller's instructions.
    for word in &mut raised {
        *word <<= by;
    }
    raised
}

/// The words of the next steps, as many as a block decides.
struct Next<'w, I: Instructions> {
    walks: &'w mut Walks<I>,
    words: &'w mut Blocks,
}

impl<I: Instructions> Compute for Next<'_, I> {
    #[inline(always)]
    fn compute(self, _: impl Instructions) {
        let Self { walks, words } = self;
        let Walks {
            sequence,
            instructions,
            walk,
            blocks: [even, odd],
            ..
        } = walks;
        if !walks.are_moved {
            return instructions.step(sequence, walk, words);
        }
        let (these, next) = if walks.next == 0 { (odd, even) } else { (even, odd) };
        instructions.step(sequence, walk, next);
        walks.moves.up(these, next, walks.random_bits, words);
        walks.next = 1 - walks.next;
    }
}

/// How far the words of blocks are moved up to where runs begin, each on its own: by two words or none, by one or none, by bits.
#[derive(Default)]
#[repr(align(64))]
struct Moves {
    two: [u32; BATCH],
    one: [u32; BATCH],
    bits: [u32; BATCH],
}

impl Moves {
    /// By so many times so many bits.
    #[inline(always)]
    fn set(&mut self, lanes: &[u32; BATCH], bits: u32) {
        for (i, lane) in lanes.iter().enumerate() {
            let distance = lane * bits;
            self.two[i] = (distance / 64).wrapping_neg();
            self.one[i] = (distance / 32 % 2).wrapping_neg();
            self.bits[i] = distance % 32;
        }
    }

    /// The words that were in these blocks and in the next ones.
    #[inline(always)]
    fn up(&self, Blocks(these): &Blocks, Blocks(next): &Blocks, random_bits: RandomBits, Blocks(moved): &mut Blocks) {
        for i in 0..BATCH {
            let choose = |no: u32, yes: u32, mask: u32| no ^ ((no ^ yes) & mask);
            let [a, b, c, d] = [these[0][i], these[1][i], these[2][i], these[3][i]];
            let [e, f, g] = [next[0][i], next[1][i], next[2][i]];
            let two = self.two[i];
            let [a, b, c, d, e, f] = [
                choose(a, c, two),
                choose(b, d, two),
                choose(c, e, two),
                choose(d, f, two),
                choose(e, g, two),
                choose(f, next[3][i], two),
            ];
            let one = self.one[i];
            let words = [
                choose(a, b, one),
                choose(b, c, one),
                choose(c, d, one),
                choose(d, e, one),
                choose(e, f, one),
            ];
            for w in 0..4 {
                moved[w][i] = if random_bits == RandomBits::B32 {
                    words[w]
                } else {
                    // In two steps, for by 32 none can be moved.
                    words[w] >> self.bits[i] | words[w + 1] << 1 << (31 - self.bits[i])
                };
            }
        }
    }
}

//! The CPU path compiled for AVX2 and AVX-512, chosen at run time.
//!
//! Three things gain: the Philox words and what is done with 32 elements at a time, which the compiler does not vectorise well,
//! so those are written out; fetching ahead; storing long results past the caches. A word lives in the lower half of a
//! 64-bit lane: the 32 x 32 -> 64 multiplier ignores the upper half, so the high product is a shift and the low product is the
//! product itself. Block numbers are dealt to the lanes in the order in which one unpack of word pairs lays the words out as
//! the stream has them.
//!
//! `unsafe` is the call into a function compiled for more than the build's baseline, after a look at what the processor has,
//! the prefetch hint and the stores past the caches. What each gains is in BENCHMARKS.md. The tests compare each of them with
//! the portable path, and the vectors with whichever one is chosen.

#![expect(
    unsafe_code,
    reason = "calls into code for instructions that were detected at run time"
)]

use core::arch::x86_64::{_MM_HINT_ET0, _MM_HINT_T0, _mm_prefetch, _mm_sfence};

use std::sync::OnceLock;

use super::outputs::LINE;
use super::words::{BATCH, Compute, Instructions as _, Sequence};
use crate::philox::MULTIPLIERS;

/// Methods that are functions compiled for the instructions, of the same names.
macro_rules! forward {
    ($($name:ident($($argument:ident: $type:ty),*) $(-> $result:ty)?;)*) => {$(
        #[inline(always)]
        fn $name(self, $($argument: $type),*) $(-> $result)? {
            // SAFETY: self proves that the processor has each feature that the function is compiled for.
            unsafe { $name($($argument),*) }
        }
    )*};
}

/// `stream_lines`, which stores whole registers past the caches.
macro_rules! stream_lines {
    ($features:literal, $register:ty, $store:ident) => {
        #[target_feature(enable = $features)]
        #[inline]
        fn stream_lines(from: &[u8], to: &mut [u8]) {
            let Ok(registers) = bytemuck::try_cast_slice_mut::<u8, $register>(to) else {
                return to.copy_from_slice(from);
            };
            for (from, to) in from.chunks_exact(size_of::<$register>()).zip(registers) {
                // SAFETY: the place is borrowed for writing and aligned as its type is; `streamed` has the fence that such
                // stores need before others may read.
                unsafe { $store(to, bytemuck::pod_read_unaligned(from)) }
            }
        }
    };
}

mod avx2;
mod avx512;
#[cfg(test)]
mod tests;

use avx2::Avx2;
use avx512::Avx512;

/// Does it with the widest instructions that the processor has, or gives it back.
pub(super) fn compute<C: Compute>(this: C) -> Result<(), C> {
    if let Some(avx512) = Avx512::detect() {
        avx512.apart(this);
        return Ok(());
    }
    if let Some(avx2) = Avx2::detect() {
        avx2.apart(this);
        return Ok(());
    }
    Err(this)
}

/// Prefetches the cache lines of `elements[at..at + len]`, as far as they exist. Memory and arithmetic
/// then overlap: long draws are computed while their elements are on their way, which the processor's own prefetchers don't
/// manage between loops.
#[inline(always)]
fn prefetch<const WRITE: bool, T>(elements: &[T], at: usize, len: usize) {
    let Some(ahead) = elements.get(at..elements.len().min(at.saturating_add(len))) else {
        return;
    };
    let start = ahead.as_ptr().cast::<i8>();
    for offset in (0..size_of_val(ahead)).step_by(LINE) {
        // SAFETY: a hint that never faults; the address is inside the slice all the same.
        unsafe {
            let line = start.add(offset);
            if WRITE {
                _mm_prefetch::<_MM_HINT_ET0>(line);
            } else {
                _mm_prefetch::<_MM_HINT_T0>(line);
            }
        }
    }
}

/// The lines of 32 elements, without a look at how many exist.
#[inline(always)]
fn prefetch_32<T>(elements: &[T], at: usize) {
    let start = elements.as_ptr().wrapping_add(at).cast::<i8>();
    // The line that they begin in may be another's, which has fetched it: those that each part ends in.
    for offset in (LINE - 1..32 * size_of::<T>()).step_by(LINE) {
        // SAFETY: a hint that never faults, wherever it points.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(start.wrapping_add(offset)) }
    }
}

/// See [`Instructions::bytes_ahead`](super::words::Instructions::bytes_ahead). As measured, see BENCHMARKS.md: for results past the caches
/// Intel's processors take 0.7 to 0.95 of the time with it, AMD's as long or longer.
fn bytes_ahead() -> usize {
    static BYTES: OnceLock<usize> = OnceLock::new();
    *BYTES.get_or_init(|| {
        // Miri runs no assembly, which is what asks the processor.
        let vendor = (!cfg!(miri))
            .then(|| raw_cpuid::CpuId::new().get_vendor_info())
            .flatten();
        if vendor.is_some_and(|vendor| vendor.as_str() == "GenuineIntel") {
            1536
        } else {
            0
        }
    })
}

#[inline(always)]
fn fence() {
    // SAFETY: every x86-64 processor has it.
    unsafe { _mm_sfence() }
}

/// Whether long draws take less than memory does: as measured, see BENCHMARKS.md, with AVX-512, and where inputs are fetched ahead.
pub(super) fn draws_fast() -> bool {
    Avx512::detect().is_some() || bytes_ahead() > 0
}

/// Bytes of the third-level cache, as the processor gives them, if it does, and unless nothing is stored past it.
pub(super) fn third_level_cache() -> Option<usize> {
    static BYTES: OnceLock<Option<usize>> = OnceLock::new();
    *BYTES.get_or_init(|| {
        // Miri runs no assembly, which is what asks the processor.
        if cfg!(miri) || (Avx512::detect().is_none() && Avx2::detect().is_none()) {
            return None;
        }
        let caches = raw_cpuid::CpuId::new().get_cache_parameters();
        let bytes = caches
            .into_iter()
            .flatten()
            .filter(|cache| cache.level() == 3)
            .map(|cache| {
                cache.associativity() * cache.physical_line_partitions() * cache.coherency_line_size() * cache.sets()
            });
        bytes.max()
    })
}

/// What the first two rounds of neighbouring blocks have in common: those whose numbers have the same
/// upper word.
struct Neighbours {
    /// Exclusive ors into words 2 of the first round, and 0 and 2 of the second.
    first: u32,
    second: [u32; 2],
    /// The product that becomes word 3 of the second round.
    product: u32,
}

impl Neighbours {
    /// Of those with the upper word of this one.
    #[inline(always)]
    fn of(sequence: &Sequence, number: u64) -> Self {
        let Sequence { subsequence, keys, .. } = sequence;
        let [k, next_k] = [keys[0], keys[1]].map(|keys| keys.map(|key| key as u32));
        let product = |multiplier: u32, word: u32| u64::from(multiplier) * u64::from(word);
        let b = product(MULTIPLIERS[1], *subsequence as u32);
        let a = product(MULTIPLIERS[0], (b >> 32) as u32 ^ (number >> 32) as u32 ^ k[0]);
        Self {
            first: (subsequence >> 32) as u32 ^ k[1],
            second: [b as u32 ^ next_k[0], (a >> 32) as u32 ^ next_k[1]],
            product: a as u32,
        }
    }
}

/// How many numbers from one on have its upper word.
#[inline(always)]
fn neighbours_from(number: u64) -> u64 {
    (1 << 32) - u64::from(number as u32)
}

/// See [`Instructions::Walk`](super::words::Instructions::Walk).
#[derive(Default)]
#[repr(align(64))]
struct Walk {
    /// The next blocks: of neighbours the products that are the first of the first round, else the numbers.
    next: [u64; BATCH],
    neighbours: Option<Neighbours>,
}

impl Walk {
    #[inline(always)]
    fn begin(&mut self, sequence: &Sequence, numbers: &[u64; BATCH], blocks: usize) {
        let (mut differ, first, last) = (0, numbers[0], blocks as u64 - 1);
        for number in numbers {
            differ |= (number ^ first) | (number.wrapping_add(last) ^ first);
        }
        self.next = *numbers;
        self.neighbours = None;
        if differ >> 32 == 0 {
            self.neighbours = Some(Neighbours::of(sequence, first));
            for next in &mut self.next {
                *next = u64::from(*next as u32) * u64::from(MULTIPLIERS[0]);
            }
        }
    }

    /// What lies between a next block and the one after.
    #[inline(always)]
    fn distance(&self) -> u64 {
        if self.neighbours.is_some() {
            MULTIPLIERS[0].into()
        } else {
            1
        }
    }
}

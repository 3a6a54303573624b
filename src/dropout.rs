//! What a dropout call is told: probability, scale mode and the place in the random stream.

use thiserror::Error;

use crate::{Probability, ProbabilityError, RandomBits, ScaleMode};

/// One dropout call: everything that its mask and its factor depend on (contract section 1).
///
/// The mask is a pure function of `(probability, seed, subsequence, element index)`. The backward
/// pass takes the same value as the forward pass and draws the same mask; nothing is stored.
///
/// # Stream
///
/// A call over `len` elements uses the elements `[element_offset, element_offset + len)` of one
/// subsequence of the seed and nothing else. Calls that must be independent (layers, training steps)
/// take different subsequences; a shard, a window or a page of one tensor takes the same subsequence
/// and its own `element_offset`.
///
/// # Examples
///
/// ```
/// use wgpu_dropout::{Dropout, reference};
///
/// let dropout = Dropout::new(0.5, 42)?.with_subsequence(7);
/// let x = [1.0f32; 6];
/// let mut whole = [0.0; 6];
/// reference::forward(&dropout, &x, &mut whole)?;
///
/// // The second half on its own: the same bits.
/// let mut half = [0.0; 3];
/// reference::forward(&dropout.with_element_offset(3), &x[3..], &mut half)?;
/// assert_eq!(half, whole[3..]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Dropout {
    /// How likely an element is dropped.
    pub probability: Probability,
    /// Where the factor is applied.
    pub scale_mode: ScaleMode,
    /// Philox's key.
    pub seed: u64,
    /// Which of the seed's 2^64 independent sequences: a training step, a layer, a call.
    pub subsequence: u64,
    /// Global index of the first element of the slice, in elements.
    pub element_offset: u64,
}

impl Dropout {
    /// Inverted dropout with 32 random bits, from the first element of subsequence 0.
    ///
    /// # Errors
    ///
    /// [`ProbabilityError`] where p is NaN or outside [0, 1].
    ///
    /// # Examples
    ///
    /// ```
    /// use wgpu_dropout::{Dropout, RandomBits, ScaleMode};
    ///
    /// let call = Dropout::new(0.1, 42)?;
    /// assert_eq!(call.probability.random_bits(), RandomBits::B32);
    /// assert_eq!((call.scale_mode, call.subsequence, call.element_offset), (ScaleMode::Inverted, 0, 0));
    /// assert!(Dropout::new(1.5, 42).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new(p: f64, seed: u64) -> Result<Self, ProbabilityError> {
        Ok(Self {
            probability: Probability::new(p, RandomBits::default())?,
            scale_mode: ScaleMode::default(),
            seed,
            subsequence: 0,
            element_offset: 0,
        })
    }

    /// The same call with another probability.
    ///
    /// # Examples
    ///
    /// ```
    /// use wgpu_dropout::{Dropout, Probability, RandomBits};
    ///
    /// let call = Dropout::new(0.1, 42)?.with_probability(Probability::new(0.1, RandomBits::B16)?);
    /// assert_eq!(call.probability.threshold(), 58_982); // of 65,536
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub const fn with_probability(self, probability: Probability) -> Self {
        Self { probability, ..self }
    }

    /// The same call with another seed.
    ///
    /// # Examples
    ///
    /// ```
    /// use wgpu_dropout::Dropout;
    ///
    /// assert_eq!(Dropout::new(0.1, 42)?.with_seed(43), Dropout::new(0.1, 43)?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub const fn with_seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// The same call on another subsequence.
    ///
    /// # Examples
    ///
    /// ```
    /// use wgpu_dropout::{Dropout, reference};
    ///
    /// // Another step, another mask.
    /// let step = |n| Dropout::new(0.5, 42).map(|call| call.with_subsequence(n));
    /// let (mut first, mut second) = ([0], [0]);
    /// reference::bit_mask(&step(0)?, 32, &mut first)?;
    /// reference::bit_mask(&step(1)?, 32, &mut second)?;
    /// assert_ne!(first, second);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub const fn with_subsequence(self, subsequence: u64) -> Self {
        Self { subsequence, ..self }
    }

    /// The same call for a slice that starts at that global index, in elements.
    ///
    /// # Examples
    ///
    /// ```
    /// use wgpu_dropout::{Dropout, reference};
    ///
    /// // The second half of a tensor, on another machine.
    /// let (call, mut whole, mut half) = (Dropout::new(0.5, 42)?, [0; 64], [0; 32]);
    /// reference::byte_mask(&call, &mut whole)?;
    /// reference::byte_mask(&call.with_element_offset(32), &mut half)?;
    /// assert_eq!(half, whole[32..]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub const fn with_element_offset(self, element_offset: u64) -> Self {
        Self { element_offset, ..self }
    }

    /// The same call with the factor applied in that mode.
    ///
    /// # Examples
    ///
    /// ```
    /// use wgpu_dropout::{Dropout, ScaleMode, reference};
    ///
    /// let classic = Dropout::new(0.5, 42)?.with_scale_mode(ScaleMode::Classic);
    /// let mut y = [0.0; 100];
    /// reference::forward(&classic, &[3.0f32; 100], &mut y)?;
    /// assert!(y.iter().all(|&y| y == 0.0 || y == 3.0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub const fn with_scale_mode(self, scale_mode: ScaleMode) -> Self {
        Self { scale_mode, ..self }
    }

    /// A seed from the operating system's generator, for runs that need no reproduction.
    ///
    /// # Errors
    ///
    /// [`FreshSeedError`] where the operating system has no random source to offer.
    ///
    /// # Examples
    ///
    /// ```
    /// use wgpu_dropout::Dropout;
    ///
    /// let call = Dropout::new(0.1, Dropout::fresh_seed()?)?;
    /// println!("seed {}: give it again to repeat this run", call.seed);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn fresh_seed() -> Result<u64, FreshSeedError> {
        use rand::TryRng as _;
        rand::rngs::SysRng
            .try_next_u64()
            .map_err(|error| FreshSeedError(error.to_string()))
    }

    /// Checks that `len` elements from `element_offset` on end at or before index 2^64.
    ///
    /// # Errors
    ///
    /// [`OffsetOverflow`] where they do not.
    ///
    /// # Examples
    ///
    /// ```
    /// use wgpu_dropout::{Dropout, OffsetOverflow};
    ///
    /// let call = Dropout::new(0.1, 42)?.with_element_offset(u64::MAX - 9);
    /// assert_eq!(call.check_len(10), Ok(()));
    /// assert_eq!(call.check_len(11), Err(OffsetOverflow { element_offset: u64::MAX - 9, len: 11 }));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub const fn check_len(&self, len: u64) -> Result<(), OffsetOverflow> {
        // Index 2^64 itself may be the end; so compare with the last element.
        match len.checked_sub(1) {
            Some(last) => self.check_last(last),
            None => Ok(()),
        }
    }

    /// Checks that the element so far from the first has an index.
    pub(crate) const fn check_last(&self, last: u64) -> Result<(), OffsetOverflow> {
        match self.element_offset.checked_add(last) {
            Some(_) => Ok(()),
            None => Err(OffsetOverflow {
                element_offset: self.element_offset,
                len: last.saturating_add(1),
            }),
        }
    }
}

/// The operating system gave no random seed.
///
/// # Examples
///
/// ```
/// use wgpu_dropout::{Dropout, FreshSeedError};
///
/// let seed = Dropout::fresh_seed().unwrap_or_else(|error: FreshSeedError| {
///     eprintln!("{error}");
///     42
/// });
/// # let _ = seed;
/// ```
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("no fresh seed from the operating system ({0}); pass a seed of your own")]
pub struct FreshSeedError(String);

/// The elements of a call would run past global index 2^64.
///
/// # Examples
///
/// ```
/// use wgpu_dropout::OffsetOverflow;
///
/// let error = OffsetOverflow { element_offset: u64::MAX, len: 2 };
/// assert_eq!(
///     error.to_string(),
///     "element_offset 18446744073709551615 + 2 elements passes 2^64; start at 18446744073709551614 or below, or use \
///      another subsequence"
/// );
/// ```
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error(
    "element_offset {element_offset} + {len} elements passes 2^64; start at {} or below, or use another subsequence",
    u64::MAX - len + 1
)]
pub struct OffsetOverflow {
    /// Global index of the first element.
    pub element_offset: u64,
    /// Elements of the call; at least 1.
    pub len: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_index_is_two_to_the_64_less_one() {
        let at = |offset| Dropout::new(0.5, 0).expect("a probability").with_element_offset(offset);
        assert_eq!(at(u64::MAX).check_len(1), Ok(()));
        assert_eq!(at(u64::MAX).check_len(0), Ok(()));
        assert_eq!(at(u64::MAX - 9).check_len(10), Ok(()));
        let error = at(u64::MAX - 9).check_len(11).expect_err("one past the end");
        assert_eq!(
            error.to_string(),
            "element_offset 18446744073709551606 + 11 elements passes 2^64; start at \
             18446744073709551605 or below, or use another subsequence"
        );
    }

    #[test]
    fn fresh_seeds_differ() {
        assert_ne!(Dropout::fresh_seed(), Dropout::fresh_seed());
    }
}

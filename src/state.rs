//! What a training loop keeps: which subsequence is next, and which random numbers a call consumes.

use thiserror::Error;

use crate::{Draw, Dropout, FreshSeedError, Probability, ProbabilityError, RandomBits, ScaleMode};

/// Hands each dropout call of a run a subsequence of its own, and is all that a checkpoint needs.
///
/// The [`Dropout`] that it hands out is all that the backward pass needs: a few integers, no mask.
/// Restored from a checkpoint, it goes on with the masks that the first run would have drawn.
///
/// With the feature `serde` it can be serialised; a p that is none is refused when it is read.
///
/// # Stream
///
/// Calls are numbered by subsequence, from the first one on: 2^64 of them, each with 2^64 elements. States
/// with different seeds never meet; states with the same seed do, so a seed belongs to one of them.
///
/// # Examples
///
/// ```
/// use wgpu_dropout::{DropoutState, cpu};
///
/// let mut state = DropoutState::new(0.1, 42)?;
/// let x = [1.0f32; 1000];
/// let (mut y, mut dx) = ([0.0; 1000], [0.0; 1000]);
/// for _step in 0..3 {
///     let call = state.next_call()?;
///     cpu::forward(&call, &x, &mut y)?;
///     cpu::backward(&call, &x, &mut dx)?; // the same mask
/// }
///
/// // A checkpoint, and what follows it twice.
/// let checkpoint = state.clone();
/// let first = state.next_call()?;
/// let again = checkpoint.clone().next_call()?;
/// assert_eq!(first, again);
/// assert_eq!(first.subsequence, 3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct DropoutState {
    probability: Probability,
    scale_mode: ScaleMode,
    seed: u64,
    /// None where every subsequence has been handed out.
    next_subsequence: Option<u64>,
}

/// A seed has not so many subsequences left.
///
/// # Examples
///
/// ```
/// use wgpu_dropout::DropoutState;
///
/// let mut state = DropoutState::new(0.1, 42)?;
/// state.next_calls(u64::MAX)?;
/// let error = state.next_calls(2).unwrap_err();
/// assert_eq!((error.count, error.next), (2, Some(u64::MAX)));
/// println!("{error}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("{}", exhausted(self))]
#[non_exhaustive]
pub struct SubsequencesExhausted {
    /// The seed.
    pub seed: u64,
    /// How many were asked for.
    pub count: u64,
    /// The next subsequence to be handed out; None where all have been.
    pub next: Option<u64>,
}

fn exhausted(&SubsequencesExhausted { seed, count, next }: &SubsequencesExhausted) -> String {
    match next {
        None => format!("all 2^64 subsequences of seed {seed} are used; go on with another seed"),
        Some(next) => {
            format!(
                "{count} subsequences of seed {seed} from {next} on pass 2^64; take fewer or go on with another seed"
            )
        }
    }
}

impl DropoutState {
    /// Inverted dropout with 32 random bits; the first call takes subsequence 0.
    ///
    /// # Errors
    ///
    /// [`ProbabilityError`] where p is NaN or outside [0, 1].
    ///
    /// # Examples
    ///
    /// ```
    /// use wgpu_dropout::DropoutState;
    ///
    /// let mut state = DropoutState::new(0.1, 42)?;
    /// assert_eq!(state.next_call()?.subsequence, 0);
    /// assert_eq!(state.next_call()?.subsequence, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new(p: f64, seed: u64) -> Result<Self, ProbabilityError> {
        Ok(Self::of(Probability::new(p, RandomBits::default())?, seed))
    }

    /// The same with a probability that was parsed before.
    ///
    /// # Examples
    ///
    /// ```
    /// use wgpu_dropout::{DropoutState, Probability, RandomBits};
    ///
    /// let state = DropoutState::of(Probability::new(0.1, RandomBits::B16)?, 42);
    /// assert_eq!((state.seed(), state.next_subsequence()), (42, Some(0)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub const fn of(probability: Probability, seed: u64) -> Self {
        Self {
            probability,
            scale_mode: ScaleMode::Inverted,
            seed,
            next_subsequence: Some(0),
        }
    }

    /// The same with a seed from the operating system.
    ///
    /// # Errors
    ///
    /// [`FreshSeedError`] where the operating system has no random source to offer.
    ///
    /// # Examples
    ///
    /// ```
    /// use wgpu_dropout::{DropoutState, Probability, RandomBits};
    ///
    /// let state = DropoutState::with_fresh_seed(Probability::new(0.1, RandomBits::B32)?)?;
    /// println!("seed {}", state.seed());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_fresh_seed(probability: Probability) -> Result<Self, FreshSeedError> {
        Ok(Self::of(probability, Dropout::fresh_seed()?))
    }

    /// The same with the factor applied in that mode.
    ///
    /// # Examples
    ///
    /// ```
    /// use wgpu_dropout::{DropoutState, ScaleMode};
    ///
    /// let mut state = DropoutState::new(0.1, 42)?.with_scale_mode(ScaleMode::Classic);
    /// assert_eq!(state.next_call()?.scale_mode, ScaleMode::Classic);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn with_scale_mode(self, scale_mode: ScaleMode) -> Self {
        Self { scale_mode, ..self }
    }

    /// Another p from the next call on, say of a schedule; the count goes on.
    ///
    /// # Examples
    ///
    /// ```
    /// use wgpu_dropout::{DropoutState, Probability, RandomBits};
    ///
    /// // p grows with training.
    /// let mut state = DropoutState::new(0.0, 42)?;
    /// for step in 0..10u32 {
    ///     state.set_probability(Probability::new(0.01 * f64::from(step), RandomBits::B32)?);
    ///     let call = state.next_call()?;
    ///     assert_eq!(call.subsequence, u64::from(step));
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn set_probability(&mut self, probability: Probability) {
        self.probability = probability;
    }

    /// The probability of the next call, and its random bits.
    ///
    /// # Examples
    ///
    /// ```
    /// use wgpu_dropout::DropoutState;
    ///
    /// assert_eq!(DropoutState::new(0.1, 42)?.probability().p(), 0.1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub const fn probability(&self) -> &Probability {
        &self.probability
    }

    /// The seed.
    ///
    /// # Examples
    ///
    /// ```
    /// use wgpu_dropout::DropoutState;
    ///
    /// assert_eq!(DropoutState::new(0.1, 42)?.seed(), 42);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// The subsequence of the next call; None where there is none left.
    ///
    /// # Examples
    ///
    /// ```
    /// use wgpu_dropout::DropoutState;
    ///
    /// let mut state = DropoutState::new(0.1, 42)?;
    /// state.next_calls(u64::MAX)?;
    /// assert_eq!(state.next_subsequence(), Some(u64::MAX));
    /// state.next_call()?;
    /// assert_eq!(state.next_subsequence(), None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub const fn next_subsequence(&self) -> Option<u64> {
        self.next_subsequence
    }

    /// The next call, on a subsequence that no call before it had.
    ///
    /// # Errors
    ///
    /// [`SubsequencesExhausted`] after 2^64 calls.
    ///
    /// # Examples
    ///
    /// ```
    /// use wgpu_dropout::{DropoutState, cpu};
    ///
    /// let (mut state, x) = (DropoutState::new(0.5, 42)?, [1.0f32; 100]);
    /// let call = state.next_call()?;
    /// let y = cpu::forward_to_vec(&call, &x)?;
    /// let dx = cpu::backward_to_vec(&call, &x)?; // keep the call for the backward pass, no mask
    /// assert_eq!(y, dx);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn next_call(&mut self) -> Result<Dropout, SubsequencesExhausted> {
        self.next_calls(1)
    }

    /// The first of `count` calls on consecutive subsequences, say the samples of Monte-Carlo dropout;
    /// sample k takes [`with_subsequence`](Dropout::with_subsequence) of the first one's plus k.
    ///
    /// # Errors
    ///
    /// [`SubsequencesExhausted`], with none handed out, where not so many are left.
    ///
    /// # Examples
    ///
    /// ```
    /// use wgpu_dropout::DropoutState;
    ///
    /// let mut state = DropoutState::new(0.1, 42)?;
    /// let first = state.next_calls(30)?;
    /// let samples = (0..30).map(|k| first.with_subsequence(first.subsequence + k));
    /// assert_eq!(samples.last().map(|call| call.subsequence), Some(29));
    /// assert_eq!(state.next_call()?.subsequence, 30);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn next_calls(&mut self, count: u64) -> Result<Dropout, SubsequencesExhausted> {
        let exhausted = SubsequencesExhausted {
            seed: self.seed,
            count,
            next: self.next_subsequence,
        };
        let subsequence = self.next_subsequence.ok_or(exhausted)?;
        if let Some(steps) = count.checked_sub(1) {
            let last = subsequence.checked_add(steps).ok_or(exhausted)?;
            self.next_subsequence = last.checked_add(1);
        }
        Ok(Dropout {
            probability: self.probability,
            scale_mode: self.scale_mode,
            seed: self.seed,
            subsequence,
            element_offset: 0,
        })
    }
}

/// The Philox blocks that a call consumes: its share of the generator's counters.
///
/// # Examples
///
/// Two calls are independent where their blocks do not overlap:
///
/// ```
/// use wgpu_dropout::{Blocks, Dropout};
///
/// let call = Dropout::new(0.1, 42)?;
/// let a = Blocks::of(&call, 1000);
/// assert_eq!(a.count(), 250);
/// // The next page of the tensor shares no block with this one, unless it begins within one.
/// assert!(!a.overlaps(&Blocks::of(&call.with_element_offset(1000), 1000)));
/// assert!(a.overlaps(&Blocks::of(&call.with_element_offset(999), 1000)));
/// assert!(!a.overlaps(&Blocks::of(&call.with_subsequence(1), 1000)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blocks {
    seed: u64,
    subsequence: u64,
    /// First and last block; None for a tensor without elements.
    range: Option<(u64, u64)>,
}

impl Blocks {
    /// Of a call over `elements` elements. With an index map, the blocks from its first to its last index,
    /// whether or not it leaves some of them out, and `elements` counts for nothing but whether there are any.
    ///
    /// Elements past global index 2^64, which no call takes, are left out.
    /// Seeds of the call's rows are not looked at: ask for each of them, with [`Dropout::with_seed`].
    ///
    /// # Examples
    ///
    /// ```
    /// use wgpu_dropout::{Blocks, Dropout, IndexMap};
    ///
    /// let call = Dropout::new(0.1, 42)?;
    /// assert_eq!(Blocks::of(&call, 1000).count(), 250);
    /// let channels = IndexMap::channels(&[8, 64, 32, 32])?;
    /// assert_eq!(Blocks::of(call.over(&channels), channels.elements()).count(), 128);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn of<'a>(draw: impl Into<Draw<'a>>, elements: u64) -> Self {
        let draw = draw.into();
        let Dropout { seed, subsequence, .. } = *draw.dropout;
        let lanes = u64::from(draw.dropout.probability.random_bits().lanes());
        let range = draw.span(elements).map(|(first, last)| (first / lanes, last / lanes));
        Self {
            seed,
            subsequence,
            range,
        }
    }

    /// How many; up to 2^62, since a block has at least four elements.
    ///
    /// # Examples
    ///
    /// ```
    /// use wgpu_dropout::{Blocks, Dropout};
    ///
    /// // Elements 3 to 5 lie in two blocks of four.
    /// assert_eq!(Blocks::of(&Dropout::new(0.1, 42)?.with_element_offset(3), 3).count(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub const fn count(&self) -> u64 {
        match self.range {
            Some((first, last)) => last - first + 1,
            None => 0,
        }
    }

    /// Whether some random number is drawn by both.
    ///
    /// # Examples
    ///
    /// ```
    /// use wgpu_dropout::{Blocks, Dropout};
    ///
    /// let call = Dropout::new(0.1, 42)?;
    /// let layers = [0, 1, 2].map(|layer| Blocks::of(&call.with_subsequence(layer), 1 << 20));
    /// assert!(!layers[0].overlaps(&layers[1]) && !layers[1].overlaps(&layers[2]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        let (Some((first, last)), Some((other_first, other_last))) = (self.range, other.range) else {
            return false;
        };
        (self.seed, self.subsequence) == (other.seed, other.subsequence) && first <= other_last && other_first <= last
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::IndexMap;

    #[test]
    fn every_call_has_its_own_subsequence() {
        let mut state = DropoutState::new(0.5, 7).unwrap().with_scale_mode(ScaleMode::Classic);
        let calls: Vec<_> = (0..4).map(|_| state.next_call().unwrap()).collect();
        assert_eq!(
            calls.iter().map(|call| call.subsequence).collect::<Vec<_>>(),
            [0, 1, 2, 3]
        );
        assert!(
            calls
                .iter()
                .all(|call| call.seed == 7 && call.scale_mode == ScaleMode::Classic)
        );
        for (n, call) in calls.iter().enumerate() {
            for other in &calls[..n] {
                assert!(!Blocks::of(call, u64::MAX).overlaps(&Blocks::of(other, u64::MAX)));
            }
        }
        assert_eq!(state.next_calls(10).unwrap().subsequence, 4);
        assert_eq!(state.next_calls(0).unwrap().subsequence, 14);
        assert_eq!(state.next_subsequence(), Some(14));
        state.set_probability(Probability::new(0.1, RandomBits::B8).unwrap());
        let call = state.next_call().unwrap();
        assert_eq!((call.subsequence, call.probability.threshold()), (14, 230));
    }

    #[test]
    fn subsequences_end() {
        let mut state = DropoutState {
            next_subsequence: Some(u64::MAX - 2),
            ..DropoutState::new(0.5, 7).unwrap()
        };
        assert_eq!(
            state.clone().next_calls(4).unwrap_err().to_string(),
            "4 subsequences of seed 7 from 18446744073709551613 on pass 2^64; take fewer or go on with another seed"
        );
        assert_eq!(state.next_calls(3).unwrap().subsequence, u64::MAX - 2);
        assert_eq!(state.next_subsequence(), None);
        assert_eq!(
            state.next_call().unwrap_err().to_string(),
            "all 2^64 subsequences of seed 7 are used; go on with another seed"
        );
    }

    #[test]
    fn blocks_of_every_width() {
        let call = Dropout::new(0.5, 0).unwrap().with_element_offset(15);
        for (random_bits, count, first) in [(RandomBits::B32, 6, 3), (RandomBits::B16, 4, 1), (RandomBits::B8, 3, 0)] {
            let call = call.with_probability(Probability::new(0.5, random_bits).unwrap());
            let blocks = Blocks::of(&call, 18);
            assert_eq!(
                (blocks.count(), blocks.range.unwrap().0),
                (count, first),
                "{random_bits:?}"
            );
        }
        assert_eq!(Blocks::of(&call, 0).count(), 0);
        assert!(!Blocks::of(&call, 0).overlaps(&Blocks::of(&call, 18)));
        let end = call.with_element_offset(u64::MAX);
        assert_eq!(Blocks::of(&end, 1).range, Some((u64::MAX / 4, u64::MAX / 4)));
        let map = IndexMap::plain(&[9, 32]).unwrap().shard(&[2..5, 8..16]).unwrap();
        // Elements 15 + 72 to 15 + 4 * 32 + 15.
        assert_eq!(Blocks::of(call.over(&map), 24).range, Some((87 / 4, 158 / 4)));
        let empty = IndexMap::plain(&[3, 0]).unwrap();
        assert_eq!(Blocks::of(call.over(&empty), 0).range, None);
    }

    #[test]
    fn blocks_that_meet_in_one_overlap() {
        let call = Dropout::new(0.5, 0).unwrap();
        let of = |offset, elements| Blocks::of(&call.with_element_offset(offset), elements);
        let middle = of(100, 100);
        for (other, overlaps) in [
            (of(0, 100), false),
            (of(0, 101), true),
            (of(120, 8), true),
            (of(0, 1000), true),
            (of(199, 100), true),
            (of(200, 100), false),
        ] {
            assert_eq!(middle.overlaps(&other), overlaps, "{other:?}");
            assert_eq!(other.overlaps(&middle), overlaps, "{other:?}");
        }
        for elsewhere in [call.with_seed(1), call.with_subsequence(1)] {
            assert!(!middle.overlaps(&Blocks::of(&elsewhere, 1000)));
        }
    }

    #[cfg(feature = "serde")]
    #[test]
    fn checkpoints() {
        let mut state = DropoutState::of(Probability::new(0.1, RandomBits::B16).unwrap(), u64::MAX);
        state.next_calls(5).unwrap();
        let text = serde_json::to_string(&state).unwrap();
        assert_eq!(
            text,
            r#"{"probability":{"p":0.1,"threshold":58982,"random_bits":16},"scale_mode":"inverted","seed":18446744073709551615,"next_subsequence":5}"#
        );
        let mut restored: DropoutState = serde_json::from_str(&text).unwrap();
        assert_eq!(restored, state);
        let call = state.next_call().unwrap();
        assert_eq!(restored.next_call(), Ok(call));
        let stored: Dropout = serde_json::from_str(&serde_json::to_string(&call).unwrap()).unwrap();
        assert_eq!(stored, call);

        let refused = |text: &str| serde_json::from_str::<Probability>(text).unwrap_err().to_string();
        assert!(
            refused(r#"{"p":1.5,"threshold":0,"random_bits":16}"#)
                .contains("p is 1.5, but a drop probability lies in [0, 1]")
        );
        assert!(
            refused(r#"{"p":0.5,"threshold":128,"random_bits":7}"#)
                .contains("7 random bits an element; there are 32, 16 and 8")
        );
        for threshold in [0, 126, 130, 256] {
            let text = format!(r#"{{"p":0.5,"threshold":{threshold},"random_bits":8}}"#);
            assert!(refused(&text).contains("whose threshold is 128"), "{text}");
        }
        assert!(refused(r#"{"p":1.0,"threshold":1,"random_bits":8}"#).contains("whose threshold is 0"));
        assert!(refused(r#"{"p":0.999999,"threshold":0,"random_bits":8}"#).contains("whose threshold is 1"));
        for p in [0.0, 1.0] {
            let certain = Probability::new(p, RandomBits::B8).unwrap();
            let text = serde_json::to_string(&certain).unwrap();
            assert_eq!(serde_json::from_str::<Probability>(&text).unwrap(), certain);
        }
        // p read back one bit off is no other mask.
        let read: Probability = serde_json::from_str(r#"{"p":0.5,"threshold":129,"random_bits":8}"#).unwrap();
        assert_eq!(read.threshold(), 129);
        let scale = read.training_scale(ScaleMode::Inverted);
        assert_eq!(scale.to_bits(), (256.0f32 / 129.0).to_bits());
    }
}

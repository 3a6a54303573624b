//! The drop probability, parsed once: threshold, effective p and scale (contract sections 3 and 4).

use thiserror::Error;

use crate::float_environment::with_default;

/// How many random bits decide about one element.
///
/// Fewer bits cost less arithmetic and quantise p: the effective drop probability is a multiple of
/// `2^-bits`, and [`Probability::effective_p`] says which. Scales are computed from the effective
/// probability, so the expected output is unbiased at every width.
///
/// # Examples
///
/// ```
/// use wgpu_dropout::{Probability, RandomBits};
///
/// // What p = 0.1 becomes at each width.
/// let effective = RandomBits::ALL.map(|bits| Probability::new(0.1, bits).map(|p| p.effective_p()));
/// assert_eq!(effective[2], Ok(0.1015625));
/// assert_eq!(RandomBits::ALL.map(RandomBits::bits), [32, 16, 8]);
/// assert_eq!(RandomBits::ALL.map(RandomBits::lanes), [4, 8, 16]);
/// assert_eq!(RandomBits::from_bits(16), Some(RandomBits::B16));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(try_from = "u32", into = "u32")
)]
pub enum RandomBits {
    /// 32 bits an element, four elements a Philox block.
    #[default]
    B32,
    /// 16 bits an element, eight elements a Philox block.
    B16,
    /// 8 bits an element, sixteen elements a Philox block.
    B8,
}

impl RandomBits {
    /// Every width, widest first.
    pub const ALL: [Self; 3] = [Self::B32, Self::B16, Self::B8];

    /// The number of bits: 32, 16 or 8.
    #[must_use]
    pub const fn bits(self) -> u32 {
        match self {
            Self::B32 => 32,
            Self::B16 => 16,
            Self::B8 => 8,
        }
    }

    /// The width of that many bits, or `None` where there is no such width.
    #[must_use]
    pub const fn from_bits(bits: u32) -> Option<Self> {
        match bits {
            32 => Some(Self::B32),
            16 => Some(Self::B16),
            8 => Some(Self::B8),
            _ => None,
        }
    }

    /// Elements decided by one 128-bit Philox block: 4, 8 or 16.
    #[must_use]
    pub const fn lanes(self) -> u32 {
        128 / self.bits()
    }
}

/// Where the factor that makes up for the dropped elements is applied.
///
/// # Examples
///
/// ```
/// use wgpu_dropout::{Probability, RandomBits, ScaleMode};
///
/// let p = Probability::new(0.75, RandomBits::B32)?;
/// let factors = |mode| (p.training_scale(mode), p.inference_scale(mode));
/// assert_eq!(factors(ScaleMode::Inverted), (4.0, None));
/// assert_eq!(factors(ScaleMode::Classic), (1.0, Some(0.25)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "lowercase")
)]
pub enum ScaleMode {
    /// Inverted dropout: scale while training, identity at inference.
    #[default]
    Inverted,
    /// Classic dropout: no scale while training, multiply by the keep probability at inference.
    Classic,
}

/// p is not a probability.
///
/// # Examples
///
/// ```
/// use wgpu_dropout::Dropout;
///
/// // A keep probability in per cent is neither.
/// let error = Dropout::new(90.0, 42).unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "p is 90.0, but a drop probability lies in [0, 1]; pass the probability that an element is dropped"
/// );
/// ```
#[derive(Clone, Copy, Debug, Error, PartialEq)]
#[error("p is {p:?}, but a drop probability lies in [0, 1]; pass the probability that an element is dropped")]
pub struct ProbabilityError {
    /// The value given.
    pub p: f64,
}

/// A drop probability, parsed: p, the keep threshold and the factors that follow from it.
///
/// An element is kept iff its integer of [`random_bits`](Self::random_bits) bits is below
/// [`threshold`](Self::threshold).
///
/// # Precision
///
/// `threshold = round_ties_even((1 - p) * 2^b)`, clamped to `[1, 2^b - 1]` for p strictly between 0
/// and 1 (so that neither certainty comes about by rounding), 2^b for p = 0 and 0 for p = 1.
///
/// # Examples
///
/// ```
/// use wgpu_dropout::{Probability, RandomBits, ScaleMode};
///
/// let p = Probability::new(0.1, RandomBits::B8)?;
/// assert_eq!(p.threshold(), 230);
/// assert_eq!(p.effective_p(), 26.0 / 256.0);
/// // The factor matches the probability really drawn, so the mean stays exact.
/// assert_eq!(p.training_scale(ScaleMode::Inverted), 256.0 / 230.0);
/// assert!(Probability::new(f64::NAN, RandomBits::B32).is_err());
/// # Ok::<(), wgpu_dropout::ProbabilityError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(try_from = "stored::Probability", into = "stored::Probability")
)]
pub struct Probability {
    p: f64,
    random_bits: RandomBits,
    /// In [0, 2^bits]: up to 2^32, hence u64.
    threshold: u64,
    /// What each call asks for, so that none divides.
    inverted_scale: f32,
}

impl Probability {
    /// Parses p, the probability that an element is dropped.
    ///
    /// # Errors
    ///
    /// [`ProbabilityError`] where p is NaN or outside [0, 1].
    ///
    /// # Examples
    ///
    /// ```
    /// use wgpu_dropout::{Probability, RandomBits};
    ///
    /// let p = Probability::new(0.25, RandomBits::B16)?;
    /// assert_eq!((p.threshold(), p.effective_p()), (49_152, 0.25));
    /// assert!(Probability::new(-0.1, RandomBits::B16).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[allow(clippy::float_cmp, reason = "0 and 1 are meant exactly")]
    pub fn new(p: f64, random_bits: RandomBits) -> Result<Self, ProbabilityError> {
        if !(0.0..=1.0).contains(&p) {
            return Err(ProbabilityError { p });
        }
        let all = 1u64 << random_bits.bits();
        let threshold = with_default(|| {
            if p == 0.0 {
                all
            } else if p == 1.0 {
                0
            } else {
                // At most 2^32, so the conversion back is exact.
                (((1.0 - p) * all as f64).round_ties_even() as u64).clamp(1, all - 1)
            }
        });
        Ok(Self::of_threshold(threshold, p, random_bits))
    }

    fn of_threshold(threshold: u64, p: f64, random_bits: RandomBits) -> Self {
        let all = 1u64 << random_bits.bits();
        let inverted_scale = match threshold {
            0 => 0.0,
            _ => with_default(|| (all as f64 / threshold as f64) as f32),
        };
        Self {
            p,
            random_bits,
            threshold,
            inverted_scale,
        }
    }

    /// The p given.
    ///
    /// # Examples
    ///
    /// ```
    /// use wgpu_dropout::{Probability, RandomBits};
    ///
    /// assert_eq!(Probability::new(0.1, RandomBits::B8)?.p(), 0.1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub const fn p(&self) -> f64 {
        self.p
    }

    /// Random bits spent on each element.
    ///
    /// # Examples
    ///
    /// ```
    /// use wgpu_dropout::{Probability, RandomBits};
    ///
    /// assert_eq!(Probability::new(0.1, RandomBits::B8)?.random_bits(), RandomBits::B8);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub const fn random_bits(&self) -> RandomBits {
        self.random_bits
    }

    /// The keep threshold T in [0, 2^b].
    ///
    /// # Examples
    ///
    /// ```
    /// use wgpu_dropout::{Probability, RandomBits};
    ///
    /// let threshold = |p| Probability::new(p, RandomBits::B32).map(|p| p.threshold());
    /// assert_eq!(threshold(0.0), Ok(1 << 32));
    /// assert_eq!(threshold(0.5), Ok(1 << 31));
    /// assert_eq!(threshold(1.0), Ok(0));
    /// // Strictly between 0 and 1 nothing becomes certain.
    /// assert_eq!(threshold(1e-300), Ok((1 << 32) - 1));
    /// ```
    #[must_use]
    pub const fn threshold(&self) -> u64 {
        self.threshold
    }

    /// True where every element is kept, whatever its integer.
    ///
    /// # Examples
    ///
    /// ```
    /// use wgpu_dropout::{Probability, RandomBits};
    ///
    /// assert!(Probability::new(0.0, RandomBits::B8)?.keeps_all());
    /// assert!(!Probability::new(1e-9, RandomBits::B8)?.keeps_all());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub const fn keeps_all(&self) -> bool {
        self.threshold == self.outcomes()
    }

    /// True where no element is kept, whatever its integer.
    ///
    /// # Examples
    ///
    /// ```
    /// use wgpu_dropout::{Probability, RandomBits};
    ///
    /// assert!(Probability::new(1.0, RandomBits::B8)?.keeps_none());
    /// assert!(!Probability::new(0.999999, RandomBits::B8)?.keeps_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub const fn keeps_none(&self) -> bool {
        self.threshold == 0
    }

    /// 2^b, the number of values of an element's integer.
    const fn outcomes(&self) -> u64 {
        1 << self.random_bits.bits()
    }

    /// The probability that an element is kept, exactly: `T / 2^b`.
    ///
    /// # Examples
    ///
    /// ```
    /// use wgpu_dropout::{Probability, RandomBits};
    ///
    /// assert_eq!(Probability::new(0.1, RandomBits::B8)?.keep_probability(), 230.0 / 256.0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn keep_probability(&self) -> f64 {
        self.threshold as f64 / self.outcomes() as f64
    }

    /// The probability that an element is dropped, exactly: `1 - T / 2^b`.
    ///
    /// # Examples
    ///
    /// ```
    /// use wgpu_dropout::{Probability, RandomBits};
    ///
    /// assert_eq!(Probability::new(0.1, RandomBits::B8)?.effective_p(), 26.0 / 256.0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn effective_p(&self) -> f64 {
        1.0 - self.keep_probability()
    }

    /// The factor of a kept element in the forward and the backward pass of training.
    ///
    /// Inverted: `f32(2^b / T)`, or 0 where T is 0. Classic: 1.
    ///
    /// # Examples
    ///
    /// ```
    /// use wgpu_dropout::{Probability, RandomBits, ScaleMode};
    ///
    /// let p = Probability::new(0.1, RandomBits::B8)?;
    /// assert_eq!(p.training_scale(ScaleMode::Inverted), (256.0 / 230.0) as f32);
    /// assert_eq!(p.training_scale(ScaleMode::Classic), 1.0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn training_scale(&self, mode: ScaleMode) -> f32 {
        match mode {
            ScaleMode::Inverted => self.inverted_scale,
            ScaleMode::Classic => 1.0,
        }
    }

    /// The factor of every element at inference, or `None` where inference is the identity.
    ///
    /// Inverted: `None`. Classic: `f32(T / 2^b)`.
    ///
    /// # Examples
    ///
    /// ```
    /// use wgpu_dropout::{Probability, RandomBits, ScaleMode};
    ///
    /// let p = Probability::new(0.1, RandomBits::B8)?;
    /// assert_eq!(p.inference_scale(ScaleMode::Inverted), None);
    /// assert_eq!(p.inference_scale(ScaleMode::Classic), Some((230.0 / 256.0) as f32));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn inference_scale(&self, mode: ScaleMode) -> Option<f32> {
        match mode {
            ScaleMode::Inverted => None,
            ScaleMode::Classic => Some(with_default(|| self.keep_probability() as f32)),
        }
    }
}

/// As they are serialised, and parsed again when they are read.
#[cfg(feature = "serde")]
mod stored {
    use super::RandomBits;

    impl From<RandomBits> for u32 {
        fn from(random_bits: RandomBits) -> Self {
            random_bits.bits()
        }
    }

    impl TryFrom<u32> for RandomBits {
        type Error = String;

        fn try_from(bits: u32) -> Result<Self, String> {
            Self::from_bits(bits).ok_or_else(|| format!("{bits} random bits an element; there are 32, 16 and 8"))
        }
    }

    /// The threshold decides: a text format need not give p back to the last bit.
    #[derive(serde::Serialize, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(super) struct Probability {
        p: f64,
        threshold: u64,
        random_bits: RandomBits,
    }

    impl From<super::Probability> for Probability {
        fn from(probability: super::Probability) -> Self {
            let super::Probability {
                p,
                random_bits,
                threshold,
                ..
            } = probability;
            Self {
                p,
                threshold,
                random_bits,
            }
        }
    }

    impl TryFrom<Probability> for super::Probability {
        type Error = String;

        fn try_from(stored: Probability) -> Result<Self, String> {
            let Probability {
                p,
                threshold,
                random_bits,
            } = stored;
            let parsed = Self::new(p, random_bits).map_err(|error| error.to_string())?;
            let is_certain = parsed.keeps_all() || parsed.keeps_none();
            let may_be_certain = threshold == 0 || threshold >= parsed.outcomes();
            if parsed.threshold.abs_diff(threshold) > u64::from(!is_certain) || is_certain != may_be_certain {
                return Err(format!(
                    "threshold {threshold} does not belong to p = {p} with {} random bits, whose threshold is {}; \
                     give both as they were written",
                    random_bits.bits(),
                    parsed.threshold
                ));
            }
            Ok(Self::of_threshold(threshold, p, random_bits))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn value_stability() {
        let thresholds =
            |p: f64| RandomBits::ALL.map(|bits| Probability::new(p, bits).expect("a probability").threshold());
        assert_eq!(thresholds(0.0), [1 << 32, 1 << 16, 1 << 8]);
        assert_eq!(thresholds(-0.0), [1 << 32, 1 << 16, 1 << 8]);
        assert_eq!(thresholds(1.0), [0, 0, 0]);
        assert_eq!(thresholds(0.5), [1 << 31, 1 << 15, 1 << 7]);
        assert_eq!(thresholds(0.1), [0xe666_6666, 58_982, 230]);
        // Certainty never comes about by rounding.
        assert_eq!(thresholds(1e-300), [u64::from(u32::MAX), 65_535, 255]);
        assert_eq!(thresholds(1.0 - f64::EPSILON / 2.0), [1, 1, 1]);
        // A tie goes to even: (1 - 1.5/256) * 256 = 254.5.
        assert_eq!(thresholds(1.5 / 256.0)[2], 254);
        assert_eq!(thresholds(2.5 / 256.0)[2], 254);
    }

    #[test]
    fn what_is_drawn_is_told() {
        for (p, effective) in [(0.0, 0.0), (0.1, 26.0 / 256.0), (0.999, 255.0 / 256.0), (1.0, 1.0)] {
            let probability = Probability::new(p, RandomBits::B8).expect("a probability");
            assert_eq!(probability.p().to_bits(), f64::to_bits(p));
            assert_eq!(probability.effective_p().to_bits(), f64::to_bits(effective));
            assert_eq!(probability.keep_probability().to_bits(), f64::to_bits(1.0 - effective));
            assert_eq!(
                (probability.keeps_all(), probability.keeps_none()),
                (effective <= 0.0, effective >= 1.0)
            );
        }
    }

    #[test]
    fn not_a_probability() {
        for p in [
            f64::NAN,
            -f64::MIN_POSITIVE,
            1.0 + f64::EPSILON,
            f64::INFINITY,
            f64::NEG_INFINITY,
        ] {
            let error = Probability::new(p, RandomBits::B32).expect_err("not a probability");
            assert_eq!(error.p.to_bits(), p.to_bits());
            assert!(error.to_string().contains("[0, 1]"), "{error}");
        }
    }

    #[test]
    fn the_scale_makes_the_mean_exact() {
        // TransformerEngine and FlashAttention scale by 1 / (1 - p) while drawing with p rounded to
        // 1/256, which biases the mean; ours divides by the probability really drawn.
        for p in [0.05, 0.1, 0.15, 0.2, 0.3, 0.5] {
            let probability = Probability::new(p, RandomBits::B8).expect("a probability");
            let scale = f64::from(probability.training_scale(ScaleMode::Inverted));
            let mean = probability.keep_probability() * scale;
            assert!((mean - 1.0).abs() < f64::from(f32::EPSILON), "p {p}: mean {mean}");
        }
    }
}

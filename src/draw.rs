//! A dropout call over a tensor: where its elements lie in the random stream, and of which seed.

use crate::{Dropout, IndexMap, SliceError};

/// A dropout call and where its elements lie in the stream: made of a `&Dropout` or by [`Dropout::over`].
///
/// # Examples
///
/// ```
/// use wgpu_dropout::{Draw, Dropout, IndexMap, reference};
///
/// let call = Dropout::new(0.5, 42)?;
/// let plain = Draw::from(&call);
/// // One decision for each of 4 rows.
/// let rows = IndexMap::drop_path(&[4, 10])?;
/// let by_row = call.over(&rows);
/// assert_eq!(reference::keeps(by_row, 39), reference::keeps(plain, 3));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Draw<'a> {
    pub(crate) dropout: &'a Dropout,
    pub(crate) map: Option<&'a IndexMap>,
    pub(crate) seeds: Option<Seeds<'a>>,
}

/// A seed for each stretch of a tensor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seeds<'a> {
    pub(crate) values: &'a [u64],
    pub(crate) elements_per_seed: u64,
}

impl Seeds<'_> {
    fn check(&self, elements: u64) -> Result<(), SliceError> {
        let seeds = self.values.len() as u64;
        if seeds.checked_mul(self.elements_per_seed) == Some(elements) {
            return Ok(());
        }
        Err(SliceError::Seeds {
            elements,
            seeds,
            elements_per_seed: self.elements_per_seed,
        })
    }

    /// The seed of local element `i`, and how many elements from it on have the same.
    pub(crate) fn of(&self, i: u64) -> (u64, u64) {
        let n = i / self.elements_per_seed;
        (
            self.values[n as usize],
            self.elements_per_seed - i % self.elements_per_seed,
        )
    }
}

impl<'a> From<&'a Dropout> for Draw<'a> {
    fn from(dropout: &'a Dropout) -> Self {
        Self {
            dropout,
            map: None,
            seeds: None,
        }
    }
}

impl Dropout {
    /// The same call over a tensor whose elements lie in the stream as the map says.
    ///
    /// # Examples
    ///
    /// ```
    /// use wgpu_dropout::{Dropout, IndexMap, reference};
    ///
    /// let (call, x, mut y) = (Dropout::new(0.5, 42)?, [1.0f32; 64], [0.0; 64]);
    /// let channels = IndexMap::channels(&[2, 4, 8])?;
    /// reference::forward(call.over(&channels), &x, &mut y)?;
    /// assert!(y.chunks(8).all(|channel| channel == [0.0; 8] || channel == [2.0; 8]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub const fn over<'a>(&'a self, map: &'a IndexMap) -> Draw<'a> {
        Draw {
            dropout: self,
            map: Some(map),
            seeds: None,
        }
    }
}

impl<'a> Draw<'a> {
    /// The same call with a seed for each row, or for each sample of a batch: local element i is dropped as with seed
    /// `seeds[i / elements_per_seed]`, whatever the call's own. All else stays as it is.
    ///
    /// Over a map that is the same for every row ([`IndexMap::same_over`]), a row's mask is a function of its seed
    /// alone, wherever in a batch it stands.
    ///
    /// # Examples
    ///
    /// ```
    /// use wgpu_dropout::{Draw, Dropout, IndexMap, reference};
    ///
    /// let (call, x) = (Dropout::new(0.5, 0)?, [1.0f32; 200]);
    /// let rows = IndexMap::same_over(&[2, 100], 0)?;
    /// let mut batch = [0.0; 200];
    /// reference::forward(call.over(&rows).with_seeds(&[7, 8], 100), &x, &mut batch)?;
    /// let mut alone = [0.0; 100];
    /// reference::forward(&call.with_seed(8), &x[100..], &mut alone)?;
    /// assert_eq!(batch[100..], alone);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub const fn with_seeds(self, seeds: &'a [u64], elements_per_seed: u64) -> Self {
        Self {
            seeds: Some(Seeds {
                values: seeds,
                elements_per_seed,
            }),
            ..self
        }
    }
}

impl Draw<'_> {
    /// Checks that a tensor of so many elements is the map's and the seeds', and that no element passes global index
    /// 2^64.
    ///
    /// # Errors
    ///
    /// [`SliceError::Map`], [`SliceError::Seeds`] or [`SliceError::Offset`]; the calls over slices give the same.
    ///
    /// # Examples
    ///
    /// ```
    /// use wgpu_dropout::{Draw, Dropout, IndexMap, SliceError};
    ///
    /// let (call, map) = (Dropout::new(0.5, 42)?, IndexMap::plain(&[4, 10])?);
    /// assert_eq!(call.over(&map).check(40), Ok(()));
    /// assert_eq!(call.over(&map).check(41), Err(SliceError::Map { elements: 41, expected: 40 }));
    /// let last = call.with_element_offset(u64::MAX);
    /// assert!(matches!(Draw::from(&last).check(2), Err(SliceError::Offset(_))));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn check(&self, elements: u64) -> Result<(), SliceError> {
        if let Some(seeds) = self.seeds {
            seeds.check(elements)?;
        }
        let Some(map) = self.map else {
            return Ok(self.dropout.check_len(elements)?);
        };
        if elements != map.elements() {
            return Err(SliceError::Map {
                elements,
                expected: map.elements(),
            });
        }
        match elements {
            0 => Ok(()),
            _ => Ok(self.dropout.check_last(map.last())?),
        }
    }

    /// The least and the greatest global index of a tensor of so many elements (or the map's), if it has any.
    pub(crate) fn span(&self, elements: u64) -> Option<(u64, u64)> {
        let first = self.dropout.element_offset;
        let (near, far) = match self.map {
            None => (0, elements.checked_sub(1)?),
            Some(map) if map.elements() == 0 => return None,
            // Of a window, the whole tensor's: its least index need not be the first element's.
            Some(map) => (map.offset(), map.last()),
        };
        Some((first.saturating_add(near), first.saturating_add(far)))
    }

    /// Global index of local element `i`.
    pub(crate) fn global(&self, i: u64) -> u64 {
        self.dropout.element_offset + self.map.map_or(i, |map| map.index(i))
    }

    /// The call as local element `i` sees it: with the seed that is its own.
    pub(crate) fn dropout_of(&self, i: u64) -> Dropout {
        match self.seeds {
            None => *self.dropout,
            Some(seeds) => self.dropout.with_seed(seeds.of(i).0),
        }
    }
}

//! The layer.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use burn::config::Config;
use burn::module::{Content, DisplaySettings, Flag, Module, ModuleDisplay, Param};
use burn::tensor::Tensor;
use wgpu_dropout::{DropoutState, Probability, RandomBits, ScaleMode};

use crate::dropout;

/// Makes a [`Dropout`] layer: `burn::nn::DropoutConfig` and a seed.
#[derive(Config, Debug)]
pub struct DropoutConfig {
    /// The probability with which an element is dropped in training, in [0, 1].
    pub prob: f64,
    /// The seed of the layer's masks, one of its own for each layer; a fresh one if `None`.
    #[config(default = "None")]
    pub seed: Option<u64>,
}

/// Drops elements at random in training and divides the others by the keep probability; a stand-in for
/// `burn::nn::Dropout`.
///
/// Each forward pass takes a subsequence of the seed of its own, and its backward pass draws the same mask again.
/// Clones count together, so that no copy of a model draws a mask twice. What the layer has counted is no parameter and
/// not in the module's record: keep [`state`](Self::state) in your checkpoint, and set it again with
/// [`set_state`](Self::set_state).
#[derive(Module, Debug)]
#[module(custom_display)]
pub struct Dropout {
    /// The probability with which an element is dropped in training.
    pub prob: f64,
    /// Whether to behave as in training; cleared by `freeze`.
    pub training: Param<Flag>,
    #[module(skip)]
    state: Calls,
}

/// What the clones of a layer count with.
#[derive(Clone, Debug)]
struct Calls(Arc<Mutex<DropoutState>>);

impl Calls {
    fn lock(&self) -> MutexGuard<'_, DropoutState> {
        // No call leaves a state half changed, so that of a thread that panicked is as good as any.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl DropoutConfig {
    /// The layer.
    ///
    /// # Panics
    ///
    /// As Burn's own does, where `prob` is no probability; or where there is no `seed` and the operating system has
    /// none either.
    #[must_use]
    pub fn init(&self) -> Dropout {
        let probability = or_panic(Probability::new(self.prob, RandomBits::default()));
        let state = match self.seed {
            Some(seed) => DropoutState::of(probability, seed),
            None => or_panic(DropoutState::with_fresh_seed(probability)),
        };
        Dropout {
            prob: self.prob,
            training: Param::from_bool(true),
            state: Calls(Arc::new(Mutex::new(state))),
        }
    }
}

/// Modules of Burn return tensors and nothing else.
fn or_panic<T, E: core::fmt::Display>(result: Result<T, E>) -> T {
    #[expect(clippy::panic, reason = "Burn's modules have no other way to refuse")]
    result.unwrap_or_else(|error| panic!("{error}"))
}

impl Dropout {
    /// The layer's output, of the same shape: dropout in training, else the input as it is.
    ///
    /// As with Burn's own layer, training is where the input's device has autodiff and the layer is not frozen.
    ///
    /// # Panics
    ///
    /// Where [`dropout`] has an error, `prob` was set to what is no probability, or 2^64 masks are drawn.
    #[must_use]
    pub fn forward<const D: usize>(&self, input: Tensor<D>) -> Tensor<D> {
        if !self.training.is_enabled() || !input.device().is_autodiff() || self.prob == 0.0 {
            return input;
        }
        let call = {
            let mut state = self.state.lock();
            // `prob` is the caller's to change; the width of the random integers is the state's.
            let random_bits = state.probability().random_bits();
            state.set_probability(or_panic(Probability::new(self.prob, random_bits)));
            or_panic(state.next_call())
        };
        or_panic(dropout(input, &call))
    }

    /// What a checkpoint needs to go on with the masks that this run would have drawn: seed and count.
    #[must_use]
    pub fn state(&self) -> DropoutState {
        self.state.lock().clone()
    }

    /// Goes on where a state was taken, for this layer and its clones, or with 16 or 8 random bits.
    ///
    /// `prob` stays, and dropout stays inverted: Burn's layers leave inference alone.
    pub fn set_state(&self, state: DropoutState) {
        *self.state.lock() = state.with_scale_mode(ScaleMode::Inverted);
    }
}

impl ModuleDisplay for Dropout {
    fn custom_settings(&self) -> Option<DisplaySettings> {
        DisplaySettings::new().with_new_line_after_attribute(false).optional()
    }

    fn custom_content(&self, content: Content) -> Option<Content> {
        let content = content.add("prob", &self.prob).add("seed", &self.state().seed());
        if self.training.is_enabled() {
            return content.optional();
        }
        content.add("training", &self.training).optional()
    }
}

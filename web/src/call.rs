//! A call and the CPU path.

use wasm_bindgen::prelude::*;
use wgpu_dropout::{Draw, IndexMap, Probability, RandomBits, ScaleMode, cpu};

use crate::js_error;

/// One dropout call: everything that its mask and its factor depend on.
///
/// Each `with...` gives another call and leaves this one.
#[wasm_bindgen]
#[derive(Clone, Debug)]
pub struct Dropout {
    call: wgpu_dropout::Dropout,
    map: Option<IndexMap>,
}

impl Dropout {
    pub(crate) fn call(&self) -> &wgpu_dropout::Dropout {
        &self.call
    }

    pub(crate) fn map(&self) -> Option<&IndexMap> {
        self.map.as_ref()
    }

    fn draw(&self) -> Draw<'_> {
        match &self.map {
            Some(map) => self.call.over(map),
            None => Draw::from(&self.call),
        }
    }

    fn with_call(&self, call: wgpu_dropout::Dropout) -> Self {
        Self {
            call,
            map: self.map.clone(),
        }
    }
}

#[wasm_bindgen]
impl Dropout {
    /// Inverted dropout with 32 random bits, from the first element of subsequence 0; `p` is how likely an element
    /// is dropped. Throws where p is NaN or outside [0, 1].
    #[wasm_bindgen(constructor)]
    pub fn new(p: f64, seed: u64) -> Result<Self, JsError> {
        let call = wgpu_dropout::Dropout::new(p, seed).map_err(|error| js_error(&error))?;
        Ok(Self { call, map: None })
    }

    /// A seed from the browser's own random generator.
    #[wasm_bindgen(js_name = freshSeed)]
    pub fn fresh_seed() -> Result<u64, JsError> {
        wgpu_dropout::Dropout::fresh_seed().map_err(|error| js_error(&error))
    }

    /// Another of the seed's 2^64 independent sequences: one for each training step, layer or sample.
    #[wasm_bindgen(js_name = withSubsequence)]
    #[must_use]
    pub fn with_subsequence(&self, subsequence: u64) -> Self {
        self.with_call(self.call.with_subsequence(subsequence))
    }

    /// Where the tensor's first element lies in the sequence: a shard's or a window's place.
    #[wasm_bindgen(js_name = withElementOffset)]
    #[must_use]
    pub fn with_element_offset(&self, element_offset: u64) -> Self {
        self.with_call(self.call.with_element_offset(element_offset))
    }

    /// 32, 16 or 8 random bits an element; fewer are faster and make p coarser.
    #[wasm_bindgen(js_name = withRandomBits)]
    pub fn with_random_bits(&self, bits: u32) -> Result<Self, JsError> {
        let random_bits = RandomBits::from_bits(bits)
            .ok_or_else(|| JsError::new(&format!("{bits} random bits; pass 32, 16 or 8")))?;
        let probability = Probability::new(self.call.probability.p(), random_bits).map_err(|error| js_error(&error))?;
        Ok(self.with_call(self.call.with_probability(probability)))
    }

    /// Classic dropout: training leaves kept elements as they are, inference multiplies by the keep probability.
    #[wasm_bindgen(js_name = withClassicScale)]
    #[must_use]
    pub fn with_classic_scale(&self) -> Self {
        self.with_call(self.call.with_scale_mode(ScaleMode::Classic))
    }

    /// One decision for each element of `noise`, broadcast to `shape`: `[c, 1, 1]` over `[c, h, w]` drops channels.
    #[wasm_bindgen(js_name = withNoiseShape)]
    pub fn with_noise_shape(&self, shape: &[u32], noise: &[u32]) -> Result<Self, JsError> {
        let wide = |lengths: &[u32]| -> Vec<u64> { lengths.iter().copied().map(u64::from).collect() };
        let map = IndexMap::noise_shape(&wide(shape), &wide(noise)).map_err(|error| js_error(&error))?;
        Ok(Self {
            map: Some(map),
            ..self.clone()
        })
    }

    /// How likely an element is kept, as the random bits allow.
    #[wasm_bindgen(getter, js_name = keepProbability)]
    #[must_use]
    pub fn keep_probability(&self) -> f64 {
        self.call.probability.keep_probability()
    }

    /// What kept elements are multiplied by in training, forward and backward.
    #[wasm_bindgen(getter, js_name = trainingScale)]
    #[must_use]
    pub fn training_scale(&self) -> f32 {
        self.call.probability.training_scale(self.call.scale_mode)
    }

    /// Training, on the CPU: y.
    pub fn forward(&self, x: &[f32]) -> Result<Vec<f32>, JsError> {
        cpu::forward_to_vec(self.draw(), x).map_err(|error| js_error(&error))
    }

    /// The gradient, on the CPU: dx of dy, by the same mask and factor.
    pub fn backward(&self, dy: &[f32]) -> Result<Vec<f32>, JsError> {
        cpu::backward_to_vec(self.draw(), dy).map_err(|error| js_error(&error))
    }

    /// Inference, on the CPU: x as it is, or times the keep probability where the scale is classic.
    pub fn inference(&self, x: &[f32]) -> Result<Vec<f32>, JsError> {
        let mut y = vec![0.0; x.len()];
        cpu::inference(self.draw(), x, &mut y).map_err(|error| js_error(&error))?;
        Ok(y)
    }

    /// The mask, on the CPU: 1 where an element is kept.
    pub fn mask(&self, elements: usize) -> Result<Vec<u8>, JsError> {
        let mut mask = vec![0; elements];
        cpu::byte_mask(self.draw(), &mut mask).map_err(|error| js_error(&error))?;
        Ok(mask)
    }
}

//! The library's self-test, for a page.

use wasm_bindgen::prelude::*;
use wgpu_dropout::gpu::self_test::{self, Coverage};

use crate::{Gpu, js_error, report};

/// One operation, compared with the reference.
#[wasm_bindgen(getter_with_clone)]
#[derive(Clone, Debug)]
pub struct Compared {
    /// Element type, task and where its tensors lay.
    pub operation: String,
    /// Cases run.
    pub cases: f64,
    /// Elements compared.
    pub elements: f64,
    /// The first difference, with both bit patterns; nothing where all bits agree.
    pub difference: Option<String>,
}

/// What a self-test found.
#[wasm_bindgen(getter_with_clone)]
#[derive(Clone, Debug)]
pub struct Verification {
    /// How the kernels multiply and get their parameters on this device.
    pub kernels: String,
    /// The operations.
    pub operations: Vec<Compared>,
    /// Whether every bit agrees.
    pub passed: bool,
}

#[wasm_bindgen]
impl Gpu {
    /// Compares every operation that this browser will use with the reference, bit for bit; `progress` is called with
    /// how many are done and how many there are.
    pub async fn verify(&self, progress: Option<js_sys::Function>) -> Result<Verification, JsError> {
        let run = self_test::run(self.device(), self.queue(), Coverage::Chosen, |done, total| {
            report(progress.as_ref(), done, total);
        });
        let comparisons = run.await.map_err(|error| js_error(&error))?;
        Ok(Verification {
            kernels: comparisons
                .first()
                .map_or_else(String::new, |first| first.kernels.clone()),
            passed: !comparisons.is_empty() && comparisons.iter().all(|comparison| comparison.difference.is_none()),
            operations: comparisons
                .into_iter()
                .map(|comparison| Compared {
                    operation: comparison.operation,
                    cases: comparison.cases as f64,
                    elements: comparison.elements as f64,
                    difference: comparison.difference.map(|difference| difference.to_string()),
                })
                .collect(),
        })
    }
}

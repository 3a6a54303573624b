#![doc = include_str!("../npm/README.md")]

mod bench;
mod call;
mod gpu;
mod verify;

pub use bench::Measured;
pub use call::Dropout;
pub use gpu::Gpu;
pub use verify::{Compared, Verification};

use wasm_bindgen::prelude::*;

/// Makes a panic readable in the console.
#[wasm_bindgen(start)]
pub fn start() {
    console_error_panic_hook::set_once();
}

/// An error for JavaScript, with all of its causes.
fn js_error(error: &dyn core::error::Error) -> JsError {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    JsError::new(&text)
}

/// Reports progress to a function of JavaScript's, where there is one; what it throws is its own affair.
fn report(progress: Option<&js_sys::Function>, done: usize, total: usize) {
    if let Some(progress) = progress {
        let _thrown = progress.call2(&JsValue::NULL, &(done as u32).into(), &(total as u32).into());
    }
}

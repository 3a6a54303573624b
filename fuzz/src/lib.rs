//! What the fuzzer runs, as functions of bytes: `cargo +nightly fuzz run draw` (or `plan`, `npy`) searches for bytes that
//! make one panic, `cargo run --package wgpu-dropout-fuzz --bin draw -- FILES` runs one on bytes that were found, and
//! `tests/short.rs` runs them all on the corpus and on some random bytes, with no more than the stable compiler.

#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a panic is a finding")]

pub mod draw;
pub mod npy;
#[cfg(feature = "gpu")]
pub mod plan;

// Modules of the command line tool, which is no library; the reader finds the other one by its name.
#[allow(dead_code, reason = "only the reader is used")]
#[path = "../../cli/src/output.rs"]
mod output;
#[allow(dead_code, reason = "only the reader is used")]
#[path = "../../cli/src/npy.rs"]
mod reader;

/// A value made of bytes, unless there are too few.
fn taken<'a, T: arbitrary::Arbitrary<'a>>(bytes: &'a [u8]) -> Option<T> {
    T::arbitrary_take_rest(arbitrary::Unstructured::new(bytes)).ok()
}

/// Runs a check on the files that the command line names.
pub fn replay(check: fn(&[u8])) {
    for file in std::env::args_os().skip(1) {
        check(&std::fs::read(file).unwrap());
    }
}

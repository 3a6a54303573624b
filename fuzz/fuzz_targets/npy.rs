//! Any bytes as a file: read to the end or refused, never a panic, and never more than the file has.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| wgpu_dropout_fuzz::npy::check(bytes));

#[cfg(not(fuzzing))]
fn main() {
    wgpu_dropout_fuzz::replay(wgpu_dropout_fuzz::npy::check);
}

//! Any variant, length and limits: windows that are all of the tensor, in order, within the limits, or an error.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| wgpu_dropout_fuzz::plan::check(bytes));

#[cfg(not(fuzzing))]
fn main() {
    wgpu_dropout_fuzz::replay(wgpu_dropout_fuzz::plan::check);
}

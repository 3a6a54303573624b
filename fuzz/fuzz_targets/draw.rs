//! Any call over any index map: the CPU path gives the reference's bits, or the same error.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| wgpu_dropout_fuzz::draw::check(bytes));

#[cfg(not(fuzzing))]
fn main() {
    wgpu_dropout_fuzz::replay(wgpu_dropout_fuzz::draw::check);
}

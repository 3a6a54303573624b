//! Any bytes as a file: read to the end or refused, never a panic, and never more than the file has.
#![no_main]
#![allow(dead_code, reason = "of the modules only the reader is used")]

use std::io::Write as _;

use libfuzzer_sys::fuzz_target;

#[path = "../../cli/src/npy.rs"]
mod npy;
#[path = "../../cli/src/output.rs"]
mod output;

fuzz_target!(|bytes: &[u8]| {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    let Ok(mut reader) = npy::Reader::open(file.path()) else {
        return;
    };
    let product: u128 = reader.shape.iter().map(|&length| u128::from(length)).product();
    assert_eq!(product, u128::from(reader.elements));
    let mut read = 0;
    while reader.read(&mut [0]).is_ok() {
        read += 1;
        assert!(read < bytes.len());
    }
});

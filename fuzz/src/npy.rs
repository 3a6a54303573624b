//! Any bytes as a file: read to the end or refused, never a panic, and never more than the file has.

use std::io::Write as _;

use crate::reader::Reader;

/// Runs it on bytes; a panic is a finding.
pub fn check(bytes: &[u8]) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    let Ok(mut reader) = Reader::open(file.path()) else {
        return;
    };
    let product: u128 = reader.shape.iter().map(|&length| u128::from(length)).product();
    assert_eq!(product, u128::from(reader.elements));
    let mut read = 0;
    while reader.read(&mut [0]).is_ok() {
        read += 1;
        assert!(read < bytes.len());
    }
}

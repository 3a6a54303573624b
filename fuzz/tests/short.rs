//! Each target on what the fuzzer kept, and on random bytes: what a search of an hour would find at once.

#![allow(clippy::unwrap_used, reason = "tests fail loudly")]

use std::path::Path;

use wgpu_dropout::Philox4x32;
use wgpu_dropout::rand_core::Rng as _;
use wgpu_dropout_fuzz::{draw, npy};

/// Runs a check on the corpus of that name, whole and damaged, and on so many strings of random bytes.
fn short(name: &str, check: fn(&[u8]), strings: u64) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(files.len() > 20, "{} of {name}", files.len());
    let mut random = Philox4x32::new(2026, 0);
    for file in &files {
        let mut bytes = std::fs::read(file).unwrap();
        check(&bytes);
        if !bytes.is_empty() {
            let at = random.next_u32() as usize % bytes.len();
            bytes[at] ^= 1 << (random.next_u32() % 8);
            check(&bytes);
            check(&bytes[..at]);
        }
    }
    for _ in 0..strings {
        let mut bytes = vec![0; random.next_u32() as usize % 300];
        random.fill_bytes(&mut bytes);
        check(&bytes);
    }
}

#[test]
fn calls() {
    short("draw", draw::check, 3_000);
}

#[cfg(feature = "gpu")]
#[test]
fn plans() {
    short("plan", wgpu_dropout_fuzz::plan::check, 30_000);
}

#[test]
fn files() {
    short("npy", npy::check, 1_000);
}

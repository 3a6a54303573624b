//! Tells the report which wgpu it was built with.

use std::fs;
use std::path::Path;

fn main() {
    let lock = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.lock");
    println!("cargo::rerun-if-changed={}", lock.display());
    let version = fs::read_to_string(lock).ok().and_then(|text| {
        let (_, rest) = text.split_once("name = \"wgpu\"\nversion = \"")?;
        Some(rest.split_once('"')?.0.to_owned())
    });
    println!(
        "cargo::rustc-env=WGPU_VERSION={}",
        version.as_deref().unwrap_or("unknown")
    );
}

//! Says whether the compiler has AVX-512 in its stable intrinsics (Rust 1.89), which is newer than the
//! oldest one that this crate builds with.

use std::env;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(has_avx512)");
    if env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|arch| arch == "x86_64") && minor_version() >= 89 {
        println!("cargo::rustc-cfg=has_avx512");
    }
}

/// The y of rustc 1.y, or 0 where the compiler does not say.
fn minor_version() -> u32 {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("--version").output();
    let text = output
        .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
        .unwrap_or_default();
    text.split(['.', ' '])
        .nth(2)
        .and_then(|minor| minor.parse().ok())
        .unwrap_or(0)
}

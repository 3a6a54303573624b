//! A clang that makes of floating point what fast math lets it, for `tests/fast_math.rs`.

use std::process::Command;

use crate::{Failure, adapters};

/// The first that makes one operation of a product and a sum where there is a choice between them. To 15 the test passes
/// also with kernels that have no guard against that.
const LEAST: u32 = 16;

/// Which one to take, with arguments: named by the caller, there, or installed.
pub const CLANG: &str = "WGPU_DROPOUT_CLANG";

/// Debian's, newest first.
const PACKAGES: [&str; 2] = ["clang-19", "clang-16"];

pub fn provide() -> Result<String, Failure> {
    if let Ok(named) = std::env::var(CLANG) {
        return Ok(named);
    }
    if let Some(found) = find() {
        return Ok(found);
    }
    if adapters::is_debian() && adapters::is_root() {
        let installs = |package: &&str| {
            println!("xtask: installing {package}");
            adapters::install(&[*package]).is_ok()
        };
        PACKAGES.iter().find(|package| installs(package));
    }
    find().ok_or_else(|| {
        format!("the kernels are compiled as C++ in a test: install clang {LEAST} or newer, or name one in {CLANG}")
            .into()
    })
}

fn find() -> Option<String> {
    let names = (LEAST..LEAST + 20).rev().map(|version| format!("clang++-{version}"));
    std::iter::once("clang++".to_owned()).chain(names).find(|name| {
        let output = Command::new(name).arg("--version").output();
        output.is_ok_and(|output| version(&String::from_utf8_lossy(&output.stdout)).is_some_and(|found| found >= LEAST))
    })
}

/// Apple's is that of an LLVM which is newer than it says.
fn version(said: &str) -> Option<u32> {
    let (_, rest) = said.split_once("clang version ")?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::version;

    #[test]
    fn versions_are_found() {
        assert_eq!(
            version("Debian clang version 14.0.6\nTarget: x86_64-pc-linux-gnu"),
            Some(14)
        );
        assert_eq!(version("clang version 22.1.8"), Some(22));
        assert_eq!(version("Apple clang version 17.0.0 (clang-1700.0.13.5)"), Some(17));
        assert_eq!(version("g++ (Debian 12.2.0-14) 12.2.0"), None);
    }
}

//! The GPU tests on Direct3D 12: wgpu's own backend for it and Microsoft's shader compiler, in Wine, over llvmpipe.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use crate::{Failure, adapters, cargo, debian, root, succeed};

const TARGET: &str = "x86_64-pc-windows-gnu";

/// What makes the tests a Windows program, and the system that they run in.
const PACKAGES: [&str; 4] = [
    "gcc-mingw-w64-x86-64-win32",
    "debootstrap",
    "debian-archive-keyring",
    "python3-pip",
];

/// The first Debian whose Wine has a Direct3D 12 with which all tests pass; Debian 12's, of vkd3d 1.2, loses descriptors.
const DEBIAN: &str = "trixie";
const WINE: &str = "wine64,libwine,mesa-vulkan-drivers,libvulkan1,xvfb,libx11-6,libxext6,libxrandr2,libxi6,libxcursor1,libxrender1,\
                    libxcomposite1,libxinerama1,libxxf86vm1,libxfixes3,libgl1,libgl1-mesa-dri,libglx-mesa0,libegl1,libfreetype6";

/// `cargo xtask direct3d`.
pub fn run() -> Result<ExitCode, Failure> {
    if !(cfg!(target_arch = "x86_64") && adapters::is_debian() && adapters::is_root()) {
        return Err(
            "Direct3D 12 is tried in Wine, which is set up on Debian, x86-64, as root. On Windows the GPU tests \
             themselves have it: cargo test --test gpu -- --include-ignored"
                .into(),
        );
    }
    let folder = root().join("target/direct3d");
    let system = folder.join(DEBIAN);
    provide(&folder, &system)?;
    // Cargo puts the program and its arguments behind.
    let script = root().join("xtask/direct3d/wine.sh");
    let namespaces = "unshare --mount --pid --net --fork --kill-child";
    let runner = format!("{namespaces} sh {} {}", script.display(), system.display());
    let mut tests = cargo();
    tests
        .args(["test", "--package", "wgpu-dropout", "--all-features", "--test", "gpu"])
        .args(["--profile", "light", "--target", TARGET])
        .args(["--", "--include-ignored"])
        .env(
            "CARGO_TARGET_X86_64_PC_WINDOWS_GNU_LINKER",
            "x86_64-w64-mingw32-gcc-win32",
        )
        .env("CARGO_TARGET_X86_64_PC_WINDOWS_GNU_RUNNER", runner)
        // What it names is not Direct3D's.
        .env_remove("WGPU_DROPOUT_ADAPTERS")
        .env_remove("WGPU_ADAPTER_NAME")
        .env("WGPU_BACKEND", "dx12")
        .env("WGPU_DX12_COMPILER", "fxc")
        .stdout(Stdio::piped());
    let mut running = tests.spawn()?;
    let mut said = String::new();
    if let Some(output) = running.stdout.take() {
        for line in BufReader::new(output).lines() {
            let line = line?;
            println!("{line}");
            said = said + &line + "\n";
        }
    }
    let status = running.wait()?;
    match judged(&said) {
        Ok(()) if status.success() => Ok(ExitCode::SUCCESS),
        Ok(()) => Err(format!("the tests: {status}").into()),
        Err(why) => Err(why.into()),
    }
}

/// What the tests said: that all passed, and more than the one that there is without an adapter. Their status alone may be lost.
fn judged(said: &str) -> Result<(), String> {
    let result = said.lines().rev().find_map(|line| line.strip_prefix("test result: "));
    let result = result.ok_or("the tests did not come to an end")?;
    let passed = result.strip_prefix("ok. ").and_then(|rest| rest.split(' ').next());
    let passed: u32 = passed.and_then(|passed| passed.parse().ok()).unwrap_or(0);
    if passed > 1 {
        Ok(())
    } else {
        Err(format!("the tests on Direct3D 12: {result}"))
    }
}

fn provide(folder: &Path, system: &Path) -> Result<(), Failure> {
    debian::provide(&PACKAGES)?;
    succeed(Command::new("rustup").args(["target", "add", TARGET]))?;
    debian::system(system, DEBIAN, WINE, |system| {
        fs::copy(compiler(folder)?, system.join("root/d3dcompiler_47.dll"))?;
        Ok(())
    })
}

/// Microsoft's shader compiler, which is on every Windows: what wgpu takes where a program brings no newer one.
fn compiler(folder: &Path) -> Result<PathBuf, Failure> {
    let python = |arguments: &[&str]| {
        let mut python = Command::new("python3");
        python.current_dir(folder).arg("-m").args(arguments);
        python
    };
    let requirements = root().join("xtask/direct3d/requirements.txt");
    let download = "pip download --quiet --no-deps --only-binary=:all: --platform=win_amd64 --python-version=3.11 --require-hashes";
    let download: Vec<&str> = download.split(' ').collect();
    succeed(python(&download).arg("--requirement").arg(requirements))?;
    let wheel = "kivy_deps_angle-0.5.0-cp311-cp311-win_amd64.whl";
    succeed(&mut python(&["zipfile", "--extract", wheel, "wheel"]))?;
    Ok(folder.join("wheel/kivy_deps_angle-0.5.0.data/data/share/angle/bin/d3dcompiler_47.dll"))
}

#[cfg(test)]
mod tests {
    use super::judged;

    #[test]
    fn what_counts_is_what_the_tests_said() {
        assert!(judged("running 2 tests\ntest result: ok. 2 passed; 0 failed; 0 ignored\n").is_ok());
        assert!(judged("test result: ok. 1 passed; 0 failed; 0 ignored").is_err());
        assert!(judged("test result: FAILED. 30 passed; 2 failed; 0 ignored").is_err());
        assert!(judged("running 2 tests\n").is_err());
    }
}

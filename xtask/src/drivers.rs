//! What drivers of GPUs make of the kernels, run without the GPUs: `tests/drivers` over Mesa's compilers and devices that do nothing.

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

use crate::{Failure, adapters, cargo, debian, root, succeed, test};

const DEBIAN: &str = "trixie";

/// From its backports: the first Mesa in Debian that has all of these drivers, and that shows what they make of a kernel.
const MESA: [&str; 2] = ["mesa-vulkan-drivers", "mesa-drm-shim"];

/// A driver with a GPU that it is made to believe in.
struct Gpu {
    driver: &'static str,
    /// The library that does nothing in the kernel's place.
    shim: &'static str,
    /// By which that is told the GPU.
    chosen: &'static str,
}

/// One for each driver: RDNA 3, Adreno 730, Ampere. Debian has no such library for Intel's.
const GPUS: [Gpu; 3] = [
    Gpu {
        driver: "radeon",
        shim: "amdgpu",
        chosen: "AMDGPU_GPU_ID=navi31",
    },
    Gpu {
        driver: "freedreno",
        shim: "freedreno",
        chosen: "FD_GPU_ID=730",
    },
    Gpu {
        driver: "nouveau",
        shim: "nouveau",
        chosen: "NOUVEAU_CHIPSET=172",
    },
];

/// `cargo xtask drivers`.
pub fn run() -> Result<ExitCode, Failure> {
    if !(cfg!(target_arch = "x86_64") && adapters::is_debian() && adapters::is_root()) {
        return Err("the drivers are set up on Debian, x86-64, as root".into());
    }
    let system = root().join("target/drivers").join(DEBIAN);
    debian::provide(&["debootstrap", "debian-archive-keyring"])?;
    debian::system(&system, DEBIAN, "libvulkan1", |system| {
        let source = format!("deb http://deb.debian.org/debian {DEBIAN}-backports main\n");
        fs::write(system.join("etc/apt/sources.list.d/backports.list"), source)?;
        succeed(apt_get(system).arg("update"))?;
        let backports = format!("--target-release={DEBIAN}-backports");
        succeed(
            apt_get(system)
                .args(["install", "-y", "--no-install-recommends", &backports])
                .args(MESA),
        )
    })?;

    let script = root().join("xtask/drivers/run.sh");
    let mut failed = Vec::new();
    for gpu in GPUS {
        // Cargo puts the program and its arguments behind.
        let namespaces = "unshare --mount --pid --fork --kill-child";
        let [driver, shim, chosen] = [gpu.driver, gpu.shim, gpu.chosen];
        let (script, folder) = (script.display(), system.display());
        let runner = format!("{namespaces} sh {script} {folder} {driver} {shim} {chosen}");
        println!("xtask: {driver}, {chosen}");
        let mut tests = cargo();
        tests
            .args(["test", "--all-features", "--test", "drivers"])
            .args(test::library())
            // One at a time: what does nothing in the kernel's place is not made for several devices.
            .args(["--", "--include-ignored", "--nocapture", "--test-threads=1"])
            .env("CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER", runner);
        if !tests.status()?.success() {
            failed.push(driver);
        }
    }
    if failed.is_empty() {
        Ok(ExitCode::SUCCESS)
    } else {
        Err(format!("the kernels as they are compiled by {}", failed.join(", ")).into())
    }
}

/// Of the system in the folder.
fn apt_get(system: &Path) -> Command {
    let mut apt_get = Command::new("chroot");
    apt_get
        .arg(system)
        .args(["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq"])
        // A mirror may be some weeks behind.
        .args(["-o", "Acquire::Check-Valid-Until=false"]);
    apt_get
}

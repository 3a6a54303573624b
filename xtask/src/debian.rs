//! Debian in a folder of its own: for what this machine's system does not have, or has too old.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::{Failure, adapters, succeed};

const MIRROR: &str = "http://deb.debian.org/debian";

/// Installs what of the packages is missing on this machine.
pub fn provide(packages: &[&str]) -> Result<(), Failure> {
    let missing = packages
        .iter()
        .copied()
        .filter(|package| !adapters::is_installed(package));
    let missing: Vec<_> = missing.collect();
    if !missing.is_empty() {
        println!("xtask: installing {}", missing.join(", "));
        adapters::install(&missing)?;
    }
    Ok(())
}

/// That release with those packages, unless the folder is there; then what else there is to do in it.
pub fn system(
    folder: &Path,
    release: &str,
    packages: &str,
    finish: impl FnOnce(&Path) -> Result<(), Failure>,
) -> Result<(), Failure> {
    if folder.exists() {
        return Ok(());
    }
    // Under another name, so that half a system is not taken for one.
    let unfinished = folder.with_extension("unfinished");
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished)?;
    }
    if let Some(above) = folder.parent() {
        fs::create_dir_all(above)?;
    }
    println!("xtask: Debian {release}, in {}", folder.display());
    succeed(
        Command::new("debootstrap")
            .args(["--variant=minbase", &format!("--include={packages}"), release])
            .arg(&unfinished)
            .arg(MIRROR),
    )?;
    finish(&unfinished)?;
    fs::rename(unfinished, folder)?;
    Ok(())
}

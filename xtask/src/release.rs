//! `cargo xtask release`: what a release has to pass beside the tests.

use std::path::Path;
use std::process::{Command, ExitCode};
use std::{env, fs};

use crate::tools::Tool;
use crate::{Failure, cargo, root, succeed};

const DENY: Tool = Tool {
    name: "cargo-deny",
    version: "0.20.2",
    build: &[],
};
const SEMVER: Tool = Tool {
    name: "cargo-semver-checks",
    version: "0.51.0",
    build: &[],
};

/// The compiler that resolves to the least versions: the option is not stable.
const RESOLVER: &str = "nightly";

/// `cargo xtask release`.
pub fn run() -> Result<ExitCode, Failure> {
    println!("xtask: licences and sources of what the workspace stands on, duplicates in the library");
    let deny = |arguments: &[&str]| succeed(DENY.command()?.arg("--all-features").args(arguments));
    deny(&["--workspace", "check", "licenses", "sources"])?;
    deny(&["check", "bans"])?;

    println!("xtask: the packed crate");
    let name = format!("wgpu-dropout-{}", version()?);
    succeed(cargo().args(["package", "--package", "wgpu-dropout", "--all-features"]))?;

    println!("xtask: the packed crate with the least versions and the oldest compiler that it declares");
    let folder = env::temp_dir().join(format!("wgpu-dropout-release-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let packed = root().join(format!("target/package/{name}.crate"));
    let checked = declared_versions(&packed, &folder, &name);
    fs::remove_dir_all(&folder)?;
    checked?;

    match last_release()? {
        Some(tag) => {
            println!("xtask: the API against {tag}");
            let mut semver = SEMVER.command()?;
            succeed(semver.args(["semver-checks", "--package", "wgpu-dropout", "--baseline-rev", &tag]))?;
        }
        None => println!("xtask: NOT CHECKED: the API, for want of an earlier release (a tag v*) to compare it with"),
    }
    Ok(ExitCode::SUCCESS)
}

/// Unpacks the crate, resolves it to its least versions and checks it with its own `rust-version`. Outside of the
/// repository, where cargo sees no workspace.
fn declared_versions(packed: &Path, folder: &Path, name: &str) -> Result<(), Failure> {
    succeed(Command::new("tar").arg("-xzf").arg(packed).arg("-C").arg(folder))?;
    let unpacked = folder.join(name);
    let manifest = fs::read_to_string(unpacked.join("Cargo.toml"))?;
    let compiler = value(&manifest, "rust-version").ok_or("the packed Cargo.toml has no rust-version")?;
    let run = |compiler: &str| {
        let mut run = Command::new("rustup");
        run.args(["run", "--install", compiler, "cargo"]).current_dir(&unpacked);
        // Cargo's own of this run name another compiler.
        run.env_remove("CARGO").env_remove("RUSTUP_TOOLCHAIN");
        run.env("CARGO_TARGET_DIR", root().join("target/release-check"));
        run
    };
    succeed(run(RESOLVER).args(["generate-lockfile", "-Z", "direct-minimal-versions"]))?;
    for features in [&["--all-features"][..], &[], &["--no-default-features"]] {
        succeed(run(compiler).args(["check", "--locked"]).args(features))?;
    }
    Ok(())
}

fn version() -> Result<String, Failure> {
    let manifest = fs::read_to_string(root().join("Cargo.toml"))?;
    let version = value(&manifest, "version").ok_or("Cargo.toml has no version")?;
    Ok(version.to_owned())
}

/// The string that a key has, the first time that a line of a manifest starts with it.
fn value<'a>(manifest: &'a str, key: &str) -> Option<&'a str> {
    let after = manifest
        .lines()
        .find_map(|line| line.strip_prefix(key)?.trim_start().strip_prefix('='))?;
    after.trim().strip_prefix('"')?.strip_suffix('"')
}

/// The tag of the last release before this commit.
fn last_release() -> Result<Option<String>, Failure> {
    let mut git = Command::new("git");
    git.args(["tag", "--list", "v*", "--merged", "HEAD", "--sort=-version:refname"]);
    let tags = git.current_dir(root()).output()?;
    if !tags.status.success() {
        return Err(String::from_utf8_lossy(&tags.stderr).into_owned().into());
    }
    Ok(String::from_utf8(tags.stdout)?.lines().next().map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::value;

    #[test]
    fn manifests_are_read() {
        let manifest = "[package]\nname = \"a\"\nrust-version = \"1.89\"\nversion = \"0.1.0\"\n";
        assert_eq!(value(manifest, "version"), Some("0.1.0"));
        assert_eq!(value(manifest, "rust-version"), Some("1.89"));
        assert_eq!(value(manifest, "edition"), None);
    }
}

//! Programs of crates.io that some commands need, built below `target/` where the machine has none.

use std::env;
use std::path::PathBuf;
use std::process::Command;

use crate::{Failure, cargo, root, succeed};

/// Where those built here are.
pub fn folder() -> PathBuf {
    root().join("target/tools/bin")
}

/// Builds the programs of a package there.
pub fn install(package: &str, version: &str, arguments: &[&str]) -> Result<(), Failure> {
    println!("xtask: building {package} {version} under target/tools");
    let place = root().join("target/tools");
    let mut install = cargo();
    install
        .args(["install", "--quiet", "--root"])
        .arg(&place)
        .args(arguments);
    install.arg(format!("{package}@{version}"));
    // Nobody debugs them: a fifth less to build.
    install
        .env("CARGO_TARGET_DIR", place.join("build"))
        .env("CARGO_PROFILE_DEV_DEBUG", "false");
    succeed(&mut install)
}

/// A program that is called as its package is, with what its build is told.
pub struct Tool {
    pub name: &'static str,
    pub version: &'static str,
    pub build: &'static [&'static str],
}

impl Tool {
    /// The program: the machine's own, whatever its version, or one built here.
    pub fn command(&self) -> Result<Command, Failure> {
        let file = |folder: PathBuf| folder.join(self.name).with_extension(env::consts::EXE_EXTENSION);
        let own = file(folder());
        let path = env::var_os("PATH").unwrap_or_default();
        let found = match env::split_paths(&path).map(file).find(|path| path.exists()) {
            Some(found) => found,
            None => {
                if !own.exists() {
                    install(self.name, self.version, &[&["--locked"], self.build].concat())?;
                }
                own
            }
        };
        let mut command = Command::new(found);
        command.current_dir(root());
        Ok(command)
    }
}

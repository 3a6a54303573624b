//! Programs of crates.io that some commands need, built below `target/` where the machine has none.

use std::env;
use std::process::Command;

use crate::{Failure, cargo, root, succeed};

/// A program, its version, and what its build is told.
pub struct Tool {
    pub name: &'static str,
    pub version: &'static str,
    pub build: &'static [&'static str],
}

impl Tool {
    /// The program: the machine's own, whatever its version, or one built here.
    pub fn command(&self) -> Result<Command, Failure> {
        let folder = root().join("target/tools");
        let file = |folder: std::path::PathBuf| folder.join(self.name).with_extension(env::consts::EXE_EXTENSION);
        let own = file(folder.join("bin"));
        let path = env::var_os("PATH").unwrap_or_default();
        let found = match env::split_paths(&path).map(file).find(|path| path.exists()) {
            Some(found) => found,
            None if own.exists() => own,
            None => {
                println!("xtask: building {} {}", self.name, self.version);
                let mut install = cargo();
                install.args(["install", "--quiet", "--locked", "--root"]).arg(&folder);
                install.args(self.build).arg(format!("{}@{}", self.name, self.version));
                succeed(&mut install)?;
                own
            }
        };
        let mut command = Command::new(found);
        command.current_dir(root());
        Ok(command)
    }
}

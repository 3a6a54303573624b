//! `completions` and `man`: what a shell and a manual know of the arguments, generated from them.

use std::error::Error;
use std::fs;
use std::io::{self, Write};

use clap::CommandFactory;

use crate::args::{Cli, Completions, Man};

/// The program's name, also where it was called by another.
const NAME: &str = "wgpu-dropout";

/// Prints a shell's completion script.
pub fn completions(arguments: &Completions) -> Result<bool, Box<dyn Error>> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), NAME, &mut script);
    io::stdout().write_all(&script)?;
    Ok(true)
}

/// Writes the pages of the manual, one for each command.
pub fn man(arguments: &Man) -> Result<bool, Box<dyn Error>> {
    let folder = &arguments.folder;
    let write = || {
        fs::create_dir_all(folder)?;
        clap_mangen::generate_to(Cli::command(), folder)
    };
    write().map_err(|error| format!("{}: {error}; give a folder that can be written", folder.display()))?;
    Ok(true)
}

//! `wgpu-dropout`: dropout on tensor files, adapter information, verification of a GPU, benchmarks.
//!
//! Exit status: 0 done, 1 failed or not equal, 2 usage.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool")]

mod adapters;
mod apply;
mod args;
mod backend;
mod bench;
mod info;
mod npy;
mod output;
mod rng;
mod shell;
mod verify;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let done = match args::Cli::parse().command {
        args::Command::Info(arguments) => info::run(&arguments),
        args::Command::Apply(arguments) => apply::run(&arguments),
        args::Command::Verify(arguments) => verify::run(&arguments),
        args::Command::Bench(arguments) => bench::run(&arguments),
        args::Command::Rng(arguments) => rng::run(&arguments),
        args::Command::Completions(arguments) => shell::completions(&arguments),
        args::Command::Man(arguments) => shell::man(&arguments),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

//! `cargo xtask`: sets a machine up for the kernels, then does the job.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool")]

mod adapters;
mod clang;
mod debian;
mod direct3d;
mod drivers;
mod guide;
mod mpi;
mod peers;
mod release;
mod test;
mod tools;
mod validation;
mod web;

use std::env;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

const HELP: &str = "\
Usage: cargo xtask COMMAND [ARGUMENTS]

  apply ...    wgpu-dropout apply on this machine's GPU, or on a software one that is set up first
  bench ...    wgpu-dropout bench, likewise; without arguments also a plot and a report under target/bench/
  verify ...   wgpu-dropout verify, likewise
  info ...     wgpu-dropout info, likewise
  peers        times PyTorch, JAX, tinygrad, candle and Burn beside this crate; takes half an hour the first time
  mpi          dropout over many processes: installs OpenMPI where it is missing, and runs the tests under mpirun
  web          builds the page for browsers and serves it at 127.0.0.1:8080, or at the address that follows
  test-web     the page, the npm package and the WGSL text in a real browser and under Dawn
  guide        the guide as a book at target/guide, its numbers and its Python checked
  test         all checks: format, clippy, docs, tests, doc tests, examples, the guide, the browser's, and those of the integrations
  validation   the GPU tests under Vulkan's validation layers, synchronisation included, which have to stay silent
  direct3d     the GPU tests on Direct3D 12 with Microsoft's shader compiler, in Wine; sets Wine up in a folder, on Debian as root
  drivers      what Mesa's compilers for GPUs make of the kernels, run without the GPUs; sets them up in a folder, on Debian as root
  release      what a release has to pass beside them: licences, the packed crate, least versions, API; builds its checkers
  setup        only the set-up: says what is there and provides a software adapter where it can

Arguments go to the command line tool as they are: cargo xtask apply --help";

/// What went wrong, in a sentence.
type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let done = match arguments.first().map(String::as_str) {
        _ if env::var_os(test::AS_RUSTDOC).is_some() => test::rustdoc(&arguments),
        Some("bench") if arguments.len() == 1 => bench(),
        Some("apply" | "verify" | "info" | "bench") => tool(&arguments),
        Some("test") if arguments.len() == 1 => test::run(),
        Some("peers") => peers::run(&arguments[1..]),
        Some("mpi") if arguments.len() == 1 => mpi::run(),
        Some("web") if arguments.len() <= 2 => web::serve(arguments.get(1).map_or("127.0.0.1:8080", String::as_str)),
        Some("test-web") if arguments.len() == 1 => test::browser().map(|()| ExitCode::SUCCESS),
        Some("guide") if arguments.len() == 1 => guide::run(),
        Some("validation") if arguments.len() == 1 => validation::run(),
        Some("direct3d") if arguments.len() == 1 => direct3d::run(),
        Some("drivers") if arguments.len() == 1 => drivers::run(),
        Some("release") if arguments.len() == 1 => release::run(),
        Some("setup") if arguments.len() == 1 => setup(),
        Some("help" | "--help" | "-h") => {
            println!("{HELP}");
            return ExitCode::SUCCESS;
        }
        _ => {
            eprintln!("{HELP}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("xtask: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// The repository's root: the workspace that this crate is a member of.
fn root() -> PathBuf {
    let manifest = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().map(PathBuf::from).unwrap_or(manifest)
}

/// Cargo itself, in the repository's root.
fn cargo() -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root());
    cargo
}

/// Runs a command and fails with its name where it fails.
fn succeed(command: &mut Command) -> Result<(), Failure> {
    let shown = format!("{command:?}");
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{shown}: {status}").into()),
        Err(error) => Err(format!("{shown}: {error}").into()),
    }
}

/// What cargo has built: a program's path below the target folder.
fn artifact(path: &str) -> PathBuf {
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    let program = root().join(target).join(path);
    program.with_extension(env::consts::EXE_EXTENSION)
}

/// The release build of the command line tool; its path.
fn built_tool() -> Result<PathBuf, Failure> {
    succeed(cargo().args(["build", "--release", "--package", "wgpu-dropout-cli"]))?;
    Ok(artifact("release/wgpu-dropout"))
}

fn tool_finds_an_adapter(tool: &PathBuf, environment: &adapters::Environment) -> bool {
    let mut info = Command::new(tool);
    info.args(["info", "--json"]).envs(environment);
    info.output().is_ok_and(|output| output.status.success())
}

fn tool(arguments: &[String]) -> Result<ExitCode, Failure> {
    let tool = built_tool()?;
    let mut environment = adapters::present();
    // The CPU needs no adapter, and neither does a question about the arguments.
    let needs_none = |word: &String| ["--help", "-h", "--backend=cpu", "--backend=reference"].contains(&word.as_str());
    let cpu = arguments
        .windows(2)
        .any(|pair| pair[0] == "--backend" && ["cpu", "reference"].contains(&pair[1].as_str()));
    if !cpu && !arguments.iter().any(needs_none) && !tool_finds_an_adapter(&tool, &environment) {
        environment = adapters::provide_mesa()?;
        if !tool_finds_an_adapter(&tool, &environment) {
            return Err("the software adapter is installed, but wgpu does not find it".into());
        }
    }
    // In the caller's folder, so that paths mean what they say.
    let status = Command::new(&tool).args(arguments).envs(&environment).status()?;
    let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
    Ok(ExitCode::from(code))
}

/// The first command of the README: a table, a plot and the figures behind them.
fn bench() -> Result<ExitCode, Failure> {
    let folder = root().join("target/bench");
    std::fs::create_dir_all(&folder)?;
    let mut arguments = vec!["bench".to_owned()];
    for (option, name) in [
        ("--plot", "bench.svg"),
        ("--json", "bench.json"),
        ("--csv", "bench.csv"),
    ] {
        let path = folder.join(name);
        arguments.extend([option.to_owned(), path.display().to_string()]);
    }
    tool(&arguments)
}

fn setup() -> Result<ExitCode, Failure> {
    tool(&["info".to_owned()])
}

//! `cargo xtask test`: all checks, in the order in which they are quick to fail.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;
use std::{env, fs};

use crate::adapters::{self, Environment};
use crate::{Failure, artifact, cargo, clang, guide, mpi, root, succeed, web};

/// What the software adapters are called, as the GPU tests name them.
const MESA: &str = "llvmpipe/vulkan,llvmpipe/gl";
const SWIFTSHADER: &str = "swiftshader/vulkan";

/// Whether adapters share the sweep over every variant: `all` if they do not.
const SWEEP: &str = "WGPU_DROPOUT_SWEEP";

/// What the library's own loop is made of.
const LIBRARY: [&str; 4] = ["wgpu-dropout", "wgpu-dropout-cli", "wgpu-dropout-fuzz", "xtask"];

/// The page: linted on this machine's compiler, tested in a browser.
const PAGE: [&str; 2] = ["--package", "wgpu-dropout-web"];

/// Members that stand on large frameworks; their examples check their own output.
const INTEGRATIONS: [(&str, &[&str]); 3] = [
    ("wgpu-dropout-burn", &["train_burn"]),
    ("wgpu-dropout-candle", &["train_candle"]),
    // Its tests run its examples.
    ("wgpu-dropout-mpi", &[]),
];

/// The profile of what is not worth an optimised build of its own. Lints and docs too, so that what they read of
/// dependencies is made once for all members.
const LIGHT: [&str; 2] = ["--profile", "light"];

/// Examples that are run; each checks its own output.
const EXAMPLES: [&str; 6] = [
    "several_buffers",
    "own_device",
    "fuse_into_your_kernel",
    "why_scale",
    "train_mlp",
    "checkpoint_resume",
];

pub fn run() -> Result<ExitCode, Failure> {
    let start = Instant::now();
    step("format", cargo().args(["fmt", "--all", "--check"]))?;
    let deny = ["--", "--deny", "warnings"];
    step(
        "clippy",
        cargo()
            .args(["clippy", "--all-targets", "--all-features"])
            .args(LIGHT)
            .args(library())
            .args(PAGE)
            .args(deny),
    )?;
    step(
        "clippy without wgpu",
        cargo()
            .args(["clippy", "--package", "wgpu-dropout", "--no-default-features"])
            .args(LIGHT)
            .args(deny),
    )?;
    step(
        "docs",
        cargo()
            .args(["doc", "--no-deps", "--all-features"])
            .args(LIGHT)
            .args(library())
            .args(PAGE)
            .env("RUSTDOCFLAGS", "--deny warnings"),
    )?;
    step(
        "build tests",
        cargo().args(["test", "--all-features", "--no-run"]).args(library()),
    )?;

    let environment = adapters()?;
    beside_a_browser(|| {
        library_tests(&environment)?;
        integrations(&environment)?;
        timed("examples", || examples(&environment))
    })?;
    println!("xtask: all checks passed in {} s", start.elapsed().as_secs());
    Ok(ExitCode::SUCCESS)
}

/// What of the library is run, once its tests are built.
fn library_tests(environment: &Environment) -> Result<(), Failure> {
    let mut tests = cargo();
    step(
        "tests and doc tests",
        tests.args(["test", "--all-features"]).args(library()).envs(environment),
    )?;
    let mut sweeps = cargo();
    // Every variant, every f32 pattern, more than 2^32 elements: what `cargo test` alone leaves out.
    sweeps
        .args(["test", "--all-features", "--test", "gpu"])
        .args(library())
        .args(["--", "--ignored"]);
    step("sweeps", sweeps.envs(environment))?;
    let mut fast_math = cargo();
    fast_math
        .args(["test", "--all-features", "--test", "fast_math"])
        .args(library())
        .args(["--", "--ignored"])
        .env(clang::CLANG, clang::provide()?);
    step("kernels compiled with fast math", &mut fast_math)?;
    let mut benches = cargo();
    // Each once, on small tensors: that they run and check their results. The same packages as before, so that nothing
    // is built for other features.
    benches
        .args(["test", "--all-features", "--bench", "*"])
        .args(library())
        .env("WGPU_DROPOUT_LOG2", "16");
    step("benches as tests", benches.envs(environment))?;
    timed("guide", guide::check)?;
    // Any call, the CPU path against the reference, in a build in which wgpu is nowhere: the library's own tests depend on it.
    let mut without = cargo();
    without.args(["test", "--package", "wgpu-dropout-fuzz", "--no-default-features"]);
    step("tests without wgpu", without.args(LIGHT))?;
    Ok(())
}

/// `cargo xtask test-web`.
pub fn browser() -> Result<(), Failure> {
    timed("in a browser", web::test)
}

/// Other checks and the browser's at the same time, for the latter often wait for one thread. What they print follows.
fn beside_a_browser(checks: impl FnOnce() -> Result<(), Failure>) -> Result<(), Failure> {
    // Before, for there is one package manager.
    mpi::provide()?;
    guide::provide()?;
    clang::provide()?;
    let folder = root().join("target/web");
    fs::create_dir_all(&folder)?;
    let path = folder.join("test.log");
    let log = fs::File::create(&path)?;
    println!("xtask: in a browser, beside what follows; so far in {}", path.display());
    let mut browser = Command::new(env::current_exe()?)
        .arg("test-web")
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()?;
    let checked = checks();
    // Whatever came of the others, so that neither hides what the other found.
    let status = browser.wait()?;
    println!("{}", String::from_utf8_lossy(&fs::read(&path)?));
    checked?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("the checks in a browser: {status}").into())
    }
}

/// The same checks of the members under `integrations/`. Their dependencies take minutes, so these are built once: clippy is
/// what compiles the members for their tests, and what cargo takes for rustdoc makes their pages before it runs their doc tests.
fn integrations(environment: &Environment) -> Result<(), Failure> {
    let packages = INTEGRATIONS.map(|(package, _)| package);
    let myself = env::current_exe()?;
    let tests = || {
        let mut tests = tests_of(&packages);
        tests
            .env("RUSTC_WORKSPACE_WRAPPER", beside_cargo("clippy-driver"))
            .env("CLIPPY_ARGS", "--deny__CLIPPY_HACKERY__warnings__CLIPPY_HACKERY__")
            .env("RUSTDOC", &myself)
            .env(AS_RUSTDOC, "1")
            .envs(environment);
        tests
    };
    step("clippy, tests, docs and doc tests of the integrations", &mut tests())?;
    let mut benches = tests();
    benches.arg("--benches").env("WGPU_DROPOUT_LOG2", "16");
    step("benches of the integrations as tests", &mut benches)?;
    Ok(())
}

/// The examples, built with the tests, all at once: those that train wait for one thread most of the time.
fn examples(environment: &Environment) -> Result<(), Failure> {
    let own = EXAMPLES.map(|example| format!("debug/examples/{example}"));
    let integrations = INTEGRATIONS.iter().flat_map(|(_, examples)| *examples);
    let integrations = integrations.map(|example| format!("light/examples/{example}"));
    let started = own.into_iter().chain(integrations).map(|example| {
        let mut run = Command::new(artifact(&example));
        run.current_dir(root()).envs(environment);
        let run = run.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        (example, run)
    });
    let mut failed = Vec::new();
    for started in started.collect::<Vec<_>>() {
        let (example, run) = started;
        let run = run.map_err(|error| format!("{example}: {error}"))?;
        // One that prints more than a pipe holds waits for its turn.
        let output = run.wait_with_output()?;
        println!("xtask: {example}: {}", output.status);
        println!("{}", String::from_utf8_lossy(&output.stdout));
        println!("{}", String::from_utf8_lossy(&output.stderr));
        if !output.status.success() {
            failed.push(example);
        }
    }
    if failed.is_empty() {
        Ok(())
    } else {
        Err(format!("examples failed: {}", failed.join(", ")).into())
    }
}

/// Set where cargo calls this program as its rustdoc.
pub const AS_RUSTDOC: &str = "XTASK_AS_RUSTDOC";

/// Rustdoc with the arguments of doc tests: pages of the same crate, with warnings denied, then the doc tests.
pub fn rustdoc(arguments: &[String]) -> Result<ExitCode, Failure> {
    let rustdoc = || Command::new(beside_cargo("rustdoc"));
    if arguments.iter().any(|argument| argument == "--test") {
        let mut pages = rustdoc();
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            match argument.as_str() {
                "--test" => {}
                "--test-run-directory" | "--test-args" => drop(rest.next()),
                _ => drop(pages.arg(argument)),
            }
        }
        pages
            .args(["--deny", "warnings", "--out-dir"])
            .arg(root().join("target/doc"));
        succeed(&mut pages)?;
    }
    succeed(rustdoc().args(arguments))?;
    Ok(ExitCode::SUCCESS)
}

/// A program of the toolchain.
fn beside_cargo(program: &str) -> PathBuf {
    env::var_os("CARGO").map_or_else(|| program.into(), |cargo| Path::new(&cargo).with_file_name(program))
}

/// The tests of integrations.
pub fn tests_of(packages: &[&str]) -> Command {
    let mut tests = cargo();
    tests.arg("test").args(LIGHT).arg("--all-features");
    tests.args(packages.iter().flat_map(|package| ["--package", package]));
    tests
}

/// The library's own packages.
pub fn library() -> impl Iterator<Item = &'static str> {
    LIBRARY.into_iter().flat_map(|package| ["--package", package])
}

fn step(name: &str, command: &mut Command) -> Result<(), Failure> {
    timed(name, || succeed(command))
}

fn timed(name: &str, work: impl FnOnce() -> Result<(), Failure>) -> Result<(), Failure> {
    println!("xtask: {name}");
    let start = Instant::now();
    work()?;
    println!("xtask: {name}: {} s", start.elapsed().as_secs());
    Ok(())
}

/// The adapters to test on, and which of them the tests must find.
pub fn adapters() -> Result<Environment, Failure> {
    let mut environment = adapters::present();
    if env::var_os("WGPU_DROPOUT_ADAPTERS").is_some() {
        return Ok(environment);
    }
    let mut probe = cargo();
    // The packages of the tests, so that nothing is built for other features.
    probe
        .args(["test", "--quiet", "--all-features"])
        .args(library())
        .args(["--test", "gpu", "--", "--exact", "adapters"])
        .envs(&environment);
    let mut wanted = Vec::new();
    if adapters::misses_vulkan() || !probe.output()?.status.success() {
        environment = adapters::provide_mesa()?;
    }
    if adapters::only_mesa() {
        wanted.push(MESA);
        // What asks for no adapter in particular gets the quicker one, unless the caller chose.
        if env::var_os("WGPU_ADAPTER_NAME").is_none() {
            environment.insert("WGPU_ADAPTER_NAME", "llvmpipe".into());
        }
    }
    if adapters::provide_swiftshader()? {
        environment.extend(adapters::present_with_swiftshader());
        wanted.push(SWIFTSHADER);
        // Unless the caller wants every variant on each: more than 20 minutes of processor time.
        if env::var_os(SWEEP).is_none() {
            environment.insert(SWEEP, "shared".into());
        }
    } else {
        println!("xtask: no package with SwiftShader on this system; testing without it");
    }
    if !wanted.is_empty() {
        environment.insert("WGPU_DROPOUT_ADAPTERS", wanted.join(",").into());
    }
    Ok(environment)
}

//! The page, its package and their tests: WebAssembly, a browser, and Dawn in Node.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Component, Path, PathBuf};
use std::process::{Command, ExitCode};
use std::{env, fs, thread};

use crate::adapters::{self, Environment};
use crate::test;
use crate::{Failure, artifact, cargo, root, succeed, tools};

const TARGET: &str = "wasm32-unknown-unknown";
const MEMBER: &str = "wgpu-dropout-web";

/// `cargo xtask web`: builds the page and serves it.
pub fn serve(address: &str) -> Result<ExitCode, Failure> {
    let page = build(&["--lib"])?;
    let server = Server::new(address, page)?;
    println!("xtask: http://{} (Ctrl+C ends it)", server.address);
    server.run();
    Ok(ExitCode::SUCCESS)
}

/// `cargo xtask test-web`.
pub fn test() -> Result<(), Failure> {
    let browser = browser()?;
    // Dawn takes no Mesa of that age; where there is a GPU's driver, it takes that.
    adapters::provide_swiftshader()?;
    let environment = adapters::present_with_swiftshader();

    // Together, so that dependencies are built once.
    let page = build(&["--lib", "--test", "wasm"])?;
    println!("xtask: wasm-bindgen tests in {}", browser.chromium.display());
    let programs = wasm_bindgen()?;
    let toolchain = toolchain()?;
    let mut tests = toolchain.cargo("test");
    tests
        .args(["--package", MEMBER, "--test", "wasm"])
        .env(
            "CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER",
            programs.join("wasm-bindgen-test-runner"),
        )
        .env("CHROMEDRIVER", &browser.driver)
        .env("WASM_BINDGEN_TEST_TIMEOUT", "600");
    succeed(&mut tests)?;

    let package = package(&page)?;
    let server = Server::new("127.0.0.1:0", folder())?;
    let url = format!("http://{}", server.address);
    thread::spawn(move || server.run());

    // With the packages of the tests, so that nothing is built for other features.
    let mut example = cargo();
    example.args(["build", "--all-features", "--example", "other_engine"]);
    succeed(example.args(test::library()))?;

    let wgsl = folder().join("wgsl");
    let tests = node_modules()?;
    let screenshots = folder().join("screenshots");
    fs::create_dir_all(&screenshots)?;
    let mut node = Command::new("node");
    node.args(["--test", "--test-concurrency=2", "--test-timeout=1800000"])
        .current_dir(&tests)
        .env("PAGE", format!("{url}/page/"))
        .env("PACKAGE_PAGE", format!("{url}/npm/"))
        .env("PACKAGE", package)
        .env("CHROMIUM", &browser.chromium)
        .env("SCREENSHOTS", &screenshots)
        .env("WGSL_FOLDER", &wgsl)
        .env("REPOSITORY", root())
        .env("OTHER_ENGINE", artifact("debug/examples/other_engine"))
        .envs(drivers(&environment));
    succeed(&mut node)?;
    println!("xtask: screenshots are in {}", screenshots.display());
    Ok(())
}

/// Dawn knows only the variables that replace the machine's drivers.
fn drivers(environment: &Environment) -> Vec<(&'static str, OsString)> {
    let added = environment.get("VK_ADD_DRIVER_FILES");
    let swiftshader = added.and_then(|list| env::split_paths(list).last());
    ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"]
        .into_iter()
        .filter_map(|name| Some((name, swiftshader.clone()?.into())))
        .collect()
}

fn folder() -> PathBuf {
    root().join("target/web")
}

/// Builds the page with its WebAssembly; its folder.
fn build(targets: &[&str]) -> Result<PathBuf, Failure> {
    let toolchain = toolchain()?;
    succeed(toolchain.cargo("build").args(["--package", MEMBER]).args(targets))?;
    let page = folder().join("page");
    if page.exists() {
        fs::remove_dir_all(&page)?;
    }
    copy(&root().join("web/page"), &page)?;
    let wasm = toolchain.target.join(TARGET).join("web/wgpu_dropout_web.wasm");
    let mut bindgen = Command::new(wasm_bindgen()?.join("wasm-bindgen"));
    bindgen.args([
        "--target",
        "web",
        "--remove-name-section",
        "--out-name",
        "wgpu_dropout",
        "--out-dir",
    ]);
    succeed(bindgen.arg(page.join("pkg")).arg(wasm))?;
    Ok(page)
}

/// Puts the npm package together, of the same WebAssembly; its folder. Nothing is published.
fn package(page: &Path) -> Result<PathBuf, Failure> {
    let package = folder().join("npm");
    if package.exists() {
        fs::remove_dir_all(&package)?;
    }
    copy(&root().join("web/npm"), &package)?;
    for name in ["wgpu_dropout.js", "wgpu_dropout.d.ts", "wgpu_dropout_bg.wasm"] {
        fs::copy(page.join("pkg").join(name), package.join(name))?;
    }
    for name in ["LICENSE-MIT", "LICENSE-APACHE"] {
        fs::copy(root().join(name), package.join(name))?;
    }
    Ok(package)
}

fn copy(from: &Path, to: &Path) -> Result<(), Failure> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &to.join(entry.file_name()))?;
        } else {
            fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}

/// A compiler for WebAssembly.
struct Toolchain {
    environment: Vec<(&'static str, OsString)>,
    arguments: &'static [&'static str],
    /// Apart from the host's, whose compiler may be another.
    target: PathBuf,
}

impl Toolchain {
    fn cargo(&self, command: &str) -> Command {
        let mut cargo = cargo();
        cargo
            .args([command, "--profile", "web", "--target", TARGET])
            .args(self.arguments)
            .envs(self.environment.iter().cloned())
            .env("CARGO_TARGET_DIR", &self.target);
        cargo
    }
}

fn output(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}

/// The one in use where it has the target's standard library, which `rustup target add` gives; else Debian's.
fn toolchain() -> Result<Toolchain, Failure> {
    let rustc = || Command::new("rustc");
    let target = root().join("target/wasm");
    let library = output(rustc().args(["--print", "target-libdir", "--target", TARGET]));
    if library.is_some_and(|folder| Path::new(&folder).exists()) {
        return Ok(Toolchain {
            environment: Vec::new(),
            arguments: &[],
            target,
        });
    }
    let remedy = format!("no standard library for WebAssembly. Add it: rustup target add {TARGET}");
    if !adapters::is_debian() {
        return Err(remedy.into());
    }
    if !adapters::is_installed("rust-web-src") {
        if !adapters::is_root() {
            return Err(remedy.into());
        }
        println!("xtask: no standard library for WebAssembly; installing Debian's (rustc-web, rust-web-src)");
        adapters::install(&["rustc-web", "rust-web-src"])?;
    }
    // Debian has the source of the standard library and the compiler that goes with it, but no cargo of that age, and
    // lld under another name.
    let sysroot = output(rustc().args(["--print", "sysroot"])).ok_or("rustc does not run")?;
    let host = output(rustc().arg("-vV"))
        .and_then(|text| Some(text.lines().find_map(|line| line.strip_prefix("host: "))?.to_owned()));
    let host = host.ok_or("rustc does not say its host")?;
    let linker = Path::new(&sysroot).join("lib/rustlib").join(host).join("bin/rust-lld");
    Ok(Toolchain {
        environment: vec![
            ("RUSTC", "/usr/bin/rustc".into()),
            ("RUSTDOC", "/usr/bin/rustdoc".into()),
            // A compiler without its target's library builds it, by an unstable flag.
            ("RUSTC_BOOTSTRAP", "1".into()),
            ("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker.into()),
        ],
        arguments: &["-Zbuild-std=std,panic_abort"],
        target,
    })
}

/// wasm-bindgen's programs, of the version that Cargo.lock has; their folder.
fn wasm_bindgen() -> Result<PathBuf, Failure> {
    let lock = fs::read_to_string(root().join("Cargo.lock"))?;
    let version = lock
        .split("[[package]]")
        .find(|package| package.contains("name = \"wasm-bindgen\"\n"))
        .and_then(|package| package.lines().find_map(|line| line.strip_prefix("version = ")))
        .map(|version| version.trim_matches('"').to_owned())
        .ok_or("Cargo.lock has no wasm-bindgen")?;
    let bin = tools::folder();
    let wanted = format!("wasm-bindgen {version}");
    if output(Command::new(bin.join("wasm-bindgen")).arg("--version")).as_ref() != Some(&wanted) {
        // Quick to build counts more than quick to run.
        tools::install("wasm-bindgen-cli", &version, &["--debug", "--force"])?;
    }
    Ok(bin)
}

struct Browser {
    chromium: PathBuf,
    driver: PathBuf,
}

/// Chromium or Chrome and its driver.
fn browser() -> Result<Browser, Failure> {
    if let Some(browser) = find_browser() {
        return Ok(browser);
    }
    let message = "no Chromium found (chromium and chromedriver on PATH). Install both; on Debian: apt-get install chromium chromium-driver";
    if !adapters::is_debian() || !adapters::is_root() {
        return Err(message.into());
    }
    println!("xtask: installing Chromium (chromium, chromium-driver)");
    adapters::install(&["chromium", "chromium-driver"])?;
    find_browser().ok_or_else(|| message.into())
}

fn find_browser() -> Option<Browser> {
    let path = env::var_os("PATH")?;
    let find = |names: &[&str]| {
        env::split_paths(&path)
            .flat_map(|folder| names.iter().map(move |name| folder.join(name)))
            .find(|program| program.exists())
    };
    Some(Browser {
        chromium: find(&["chromium", "google-chrome", "chrome"])?,
        driver: find(&["chromedriver"])?,
    })
}

/// The tests that run in Node, with what they need; their folder.
fn node_modules() -> Result<PathBuf, Failure> {
    let tests = root().join("web/browser");
    if output(Command::new("node").arg("--version")).is_none() {
        return Err("no Node.js found. Install version 20 or later, with npm".into());
    }
    succeed(
        Command::new("npm")
            .args(["ci", "--no-audit", "--no-fund", "--loglevel=error"])
            .current_dir(&tests),
    )?;
    Ok(tests)
}

/// Serves a folder's files on loopback: one thread and one answer a connection, for one person's browser.
struct Server {
    listener: TcpListener,
    address: SocketAddr,
    folder: PathBuf,
}

impl Server {
    fn new(address: &str, folder: PathBuf) -> Result<Self, Failure> {
        let listener = TcpListener::bind(address).map_err(|error| {
            format!("cannot listen on {address}: {error}. Choose another: cargo xtask web 127.0.0.1:8081")
        })?;
        Ok(Self {
            address: listener.local_addr()?,
            listener,
            folder,
        })
    }

    fn run(&self) {
        thread::scope(|scope| {
            for connection in self.listener.incoming().flatten() {
                scope.spawn(move || {
                    // A visitor who has left needs no answer.
                    let _left = self.answer(&connection);
                });
            }
        });
    }

    fn answer(&self, mut connection: &TcpStream) -> std::io::Result<()> {
        let mut lines = BufReader::new(connection).lines();
        let request = lines.next().transpose()?.unwrap_or_default();
        // What is left unread would reset the connection.
        for line in lines {
            if line?.is_empty() {
                break;
            }
        }
        let path = request.split([' ', '?', '#']).nth(1).unwrap_or_default();
        let mut path = path.trim_start_matches('/').to_owned();
        if path.is_empty() || path.ends_with('/') {
            path.push_str("index.html");
        }
        let inside = Path::new(&path)
            .components()
            .all(|part| matches!(part, Component::Normal(_)));
        let file = self.folder.join(&path);
        let (status, kind, bytes) = match fs::read(&file) {
            Ok(bytes) if inside => ("200 OK", kind(&file), bytes),
            _ => ("404 Not Found", "text/plain", b"not found".to_vec()),
        };
        let length = bytes.len();
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
        );
        connection.write_all(head.as_bytes())?;
        connection.write_all(&bytes)
    }
}

fn kind(file: &Path) -> &'static str {
    match file.extension().and_then(|extension| extension.to_str()) {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css",
        Some("js" | "mjs") => "text/javascript",
        Some("wasm") => "application/wasm",
        _ => "application/octet-stream",
    }
}

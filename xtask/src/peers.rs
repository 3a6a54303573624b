//! `cargo xtask peers`: other dropouts and ours, timed in one go on the same sizes.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use crate::adapters::{self, Environment};
use crate::{Failure, cargo, root, succeed};

/// Elements and probabilities where the caller names none.
const SIZES: &str = "16777216";
const PS: &str = "0.1,0.5";

/// A measurement, as both programs print it.
struct Row {
    peer: String,
    version: String,
    device: String,
    op: String,
    output: String,
    elements: u64,
    p: String,
    seconds: f64,
}

impl Row {
    fn parse(line: &str) -> Option<Self> {
        let fields: Vec<&str> = line.split('\t').collect();
        let [peer, version, device, op, output, elements, p, seconds] = fields[..] else {
            return None;
        };
        let own = str::to_owned;
        Some(Self {
            peer: own(peer),
            version: own(version),
            device: own(device),
            op: own(op),
            output: own(output),
            elements: elements.parse().ok()?,
            p: own(p),
            seconds: seconds.parse().ok()?,
        })
    }

    fn same_work(&self, other: &Self) -> bool {
        (&self.device, &self.op, self.elements, &self.p) == (&other.device, &other.op, other.elements, &other.p)
    }

    /// Whether both allocate their result in the call, or neither does.
    fn like_for_like(&self, other: &Self) -> bool {
        (self.output == "fresh") == (other.output == "fresh")
    }
}

pub fn run(arguments: &[String]) -> Result<ExitCode, Failure> {
    let sizes = arguments.first().map_or(SIZES, String::as_str);
    let ps = arguments.get(1).map_or(PS, String::as_str);
    // Of one kind of device, or of both.
    let devices = arguments.get(2..).unwrap_or_default();
    if devices.len() > 1 || devices.iter().any(|device| device != "cpu" && device != "gpu") {
        return Err("usage: cargo xtask peers [ELEMENTS,... [P,... [cpu|gpu]]]".into());
    }
    let environment = adapters::present();
    let folder = root().join("target/peers");
    fs::create_dir_all(&folder)?;
    let rust = rust_peers(&folder)?;
    let python = match python_peers(&folder) {
        Ok(python) => Some(python),
        Err(failure) => {
            println!("xtask: without the Python peers: {failure}");
            None
        }
    };

    let mut rows = measure(Command::new(rust).args([sizes, ps]).args(devices), &environment)?;
    if let Some(python) = python {
        let script = root().join("benches/peers/python/peers.py");
        rows.extend(measure(
            Command::new(python).arg(script).args([sizes, ps]).args(devices),
            &environment,
        )?);
    }
    print(&rows);
    let table = root().join("target/bench/peers.csv");
    write_csv(&table, &rows)?;
    println!("wrote {}", table.display());
    Ok(ExitCode::SUCCESS)
}

fn rust_peers(folder: &Path) -> Result<PathBuf, Failure> {
    succeed(
        cargo()
            .args(["build", "--release", "--manifest-path", "benches/peers/rust/Cargo.toml"])
            .env("CARGO_TARGET_DIR", folder),
    )?;
    Ok(folder
        .join("release/peers")
        .with_extension(std::env::consts::EXE_EXTENSION))
}

/// An interpreter that has the peers, in an environment of its own.
fn python_peers(folder: &Path) -> Result<PathBuf, Failure> {
    let venv = folder.join("venv");
    let python = venv.join(if cfg!(windows) {
        "Scripts/python.exe"
    } else {
        "bin/python"
    });
    if !python.exists() {
        succeed(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
    }
    let mut pip = Command::new(&python);
    pip.args(["-m", "pip", "install", "--quiet", "--requirement"])
        .arg(root().join("benches/peers/python/requirements.txt"));
    succeed(&mut pip)?;
    let clang = Command::new("clang").arg("--version").stdout(Stdio::null()).status();
    if !clang.is_ok_and(|status| status.success()) {
        println!("xtask: tinygrad compiles with clang, which is not there; install it to have tinygrad timed");
    }
    Ok(python)
}

/// Runs a program and takes what it prints.
fn measure(program: &mut Command, environment: &Environment) -> Result<Vec<Row>, Failure> {
    println!("xtask: {program:?}");
    let output = program.envs(environment).stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(format!("{program:?}: {}", output.status).into());
    }
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().filter_map(Row::parse).collect())
}

fn print(rows: &[Row]) {
    println!(
        "{:<32} {:<18} {:>10} {:>4}  {:<24} {:<8} {:>10} {:>9} {:>9}",
        "device", "operation", "elements", "p", "who", "output", "ms", "y = x*s", "ours"
    );
    for row in rows {
        // The scale-only pass is the CPU's; ours are those of the same device.
        let roof = rows
            .iter()
            .find(|other| other.peer == "y = x * s" && other.elements == row.elements && other.p == row.p);
        let ours = rows
            .iter()
            .find(|other| other.peer == "wgpu-dropout" && other.same_work(row) && other.like_for_like(row));
        let ratio =
            |other: Option<&Row>| other.map_or_else(|| "-".to_owned(), |o| format!("{:.2}", row.seconds / o.seconds));
        println!(
            "{:<32} {:<18} {:>10} {:>4}  {:<24} {:<8} {:>10.3} {:>9} {:>9}",
            row.device,
            row.op,
            row.elements,
            row.p,
            format!("{} {}", row.peer, row.version).trim_end(),
            row.output,
            row.seconds * 1e3,
            ratio(roof.filter(|_| row.device == "CPU")),
            ratio(ours),
        );
    }
    println!("y = x*s: in scale-only passes of the CPU; ours: times as long as this crate, like for like:");
    println!("fresh results against fresh ones, reused, pooled and in-place ones against reused ones.");
}

fn write_csv(path: &Path, rows: &[Row]) -> Result<(), Failure> {
    fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
    let mut file = fs::File::create(path)?;
    writeln!(file, "peer,version,device,op,output,elements,p,median_s")?;
    for row in rows {
        let Row {
            peer,
            version,
            device,
            op,
            output,
            elements,
            p,
            seconds,
        } = row;
        writeln!(
            file,
            "{peer},{version},\"{device}\",{op},{output},{elements},{p},{seconds}"
        )?;
    }
    Ok(())
}

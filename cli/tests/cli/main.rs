//! Runs the binary as a user would: real files in, files, messages and exit status out.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail loudly")]

mod bad_input;
#[path = "../../../tests/common/documented.rs"]
mod documented;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;
use wgpu_dropout::half::{bf16, f16};
use wgpu_dropout::rand_core::Rng as _;
use wgpu_dropout::{
    Dropout, Element, IndexMap, Philox4x32, Probability, RandomBits, ScaleMode, bit_mask_words, reference,
};

/// Dropout on a file, without a GPU.
const APPLY: [&str; 9] = [
    "apply",
    "x.npy",
    "y.npy",
    "--p",
    "0.5",
    "--seed",
    "1",
    "--backend",
    "cpu",
];

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        fs::write(self.path(name), bytes).unwrap();
        self.path(name)
    }

    fn npy<T: bytemuck::Pod>(&self, name: &str, descr: &str, shape: &str, data: &[T]) -> PathBuf {
        self.write(
            name,
            &npy(
                &format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}"),
                data,
            ),
        )
    }

    /// Names of what lies here, temporaries too.
    fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(self.0.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_wgpu-dropout"))
            .current_dir(self.0.path())
            .args(arguments)
            .output()
            .unwrap()
    }

    /// Starts, and goes on beside it; what it prints goes nowhere.
    fn spawn(&self, arguments: &[&str]) -> Child {
        Command::new(env!("CARGO_BIN_EXE_wgpu-dropout"))
            .current_dir(self.0.path())
            .args(arguments)
            .stdout(Stdio::null())
            .spawn()
            .unwrap()
    }

    /// Runs, expects success, gives what it printed.
    fn done(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {error}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs, expects that status, gives the message.
    fn refused(&self, status: i32, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {error}");
        assert!(!error.contains("panicked"), "{error}");
        error
    }
}

/// Version 1.0 of the format, padded as NumPy pads it.
fn npy<T: bytemuck::Pod>(header: &str, data: &[T]) -> Vec<u8> {
    let mut header = header.to_owned();
    while (10 + header.len() + 1) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(bytemuck::cast_slice::<T, u8>(data));
    bytes
}

/// Header text and data of a file that the tool wrote.
fn read(path: &Path) -> (String, Vec<u8>) {
    let bytes = fs::read(path).unwrap();
    assert_eq!(bytes[..6], *b"\x93NUMPY");
    let length = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    assert_eq!((10 + length) % 64, 0, "data must be aligned");
    let header = String::from_utf8(bytes[10..10 + length].to_vec()).unwrap();
    (header, bytes[10 + length..].to_vec())
}

fn numbers<T: Element>(length: usize, from: impl Fn(f32) -> T) -> Vec<T> {
    (0..length).map(|i| from(i as f32 / 7.0 - 3.0)).collect()
}

fn forwards<T: Element>(descr: &str, dtype: &[&str], x: &[T], backend: &[&str]) {
    for random_bits in RandomBits::ALL {
        for (scale_mode, mode) in [(ScaleMode::Inverted, "inverted"), (ScaleMode::Classic, "classic")] {
            let folder = Folder::new();
            folder.npy("x.npy", descr, "(2, 3, 171)", x);
            let bits = random_bits.bits().to_string();
            let mut arguments = vec!["apply", "x.npy", "y.npy", "--p", "0.3", "--seed", "0xFEEDFACECAFEBEEF"];
            arguments.extend([
                "--subsequence",
                "18446744073709551615",
                "--element-offset",
                "0x3fffffff9",
            ]);
            arguments.extend(["--random-bits", &bits, "--scale-mode", mode]);
            arguments.extend(dtype.iter().chain(backend));
            let printed = folder.done(&arguments);
            let dropout = Dropout {
                probability: Probability::new(0.3, random_bits).unwrap(),
                scale_mode,
                seed: 0xfeed_face_cafe_beef,
                subsequence: u64::MAX,
                element_offset: 0x3_ffff_fff9,
            };
            let mut y = x.to_vec();
            reference::forward_in_place(&dropout, &mut y).unwrap();
            let (header, data) = read(&folder.path("y.npy"));
            assert_eq!(data, bytemuck::cast_slice::<T, u8>(&y), "{arguments:?}");
            assert!(header.contains(&format!("'descr': '{descr}'")), "{header}");
            assert!(
                header.contains("'shape': (2, 3, 171, )") || header.contains("'shape': (2, 3, 171)"),
                "{header}"
            );
            let kept = (0..x.len() as u64).filter(|&i| reference::keeps(&dropout, i)).count();
            assert!(
                printed.contains(&format!("kept {kept} of 1026 (expected 71")),
                "{printed}"
            );
        }
    }
}

#[test]
fn forward_on_every_backend_and_type() {
    for backend in [
        &["--backend", "cpu"][..],
        &["--backend", "reference"],
        &["--backend", "gpu"],
        &[],
    ] {
        forwards("<f4", &[], &numbers(1026, |x| x), backend);
        forwards("<f2", &["--dtype", "f16"], &numbers(1026, f16::from_f32), backend);
        forwards("<u2", &["--dtype", "bf16"], &numbers(1026, bf16::from_f32), backend);
    }
}

#[test]
fn masks_go_out_and_in_and_backward_agrees() {
    for backend in ["cpu", "reference", "gpu"] {
        for (format, descr, shape) in [("bits", "<u4", "(33"), ("bytes", "|u1", "(1031")] {
            let folder = Folder::new();
            let x = numbers(1031, |x| x);
            folder.npy("x.npy", "<f4", "(1031,)", &x);
            let with = |more: &[&str]| {
                let mut arguments = vec!["apply", "--p", "0.4", "--seed", "7", "--backend", backend];
                arguments.extend(["--mask-format", format]);
                arguments.extend(more);
                folder.done(&arguments)
            };
            with(&["x.npy", "y.npy", "--mask-out", "mask.npy"]);
            with(&["x.npy", "drawn.npy", "--backward"]);
            let printed = with(&["x.npy", "stored.npy", "--backward", "--mask-in", "mask.npy"]);
            assert!(printed.contains("mask from mask.npy"), "{printed}");
            let (header, mask) = read(&folder.path("mask.npy"));
            assert!(header.contains(descr) && header.contains(shape), "{header}");
            let dropout = Dropout::new(0.4, 7).unwrap();
            let mut words = vec![0; bit_mask_words(1031) as usize];
            let mut bytes = vec![0; 1031];
            reference::bit_mask(&dropout, 1031, &mut words).unwrap();
            reference::byte_mask(&dropout, &mut bytes).unwrap();
            assert_eq!(
                mask,
                if format == "bits" {
                    bytemuck::cast_slice(&words).to_vec()
                } else {
                    bytes
                }
            );
            let y = fs::read(folder.path("y.npy")).unwrap();
            assert_eq!(fs::read(folder.path("drawn.npy")).unwrap(), y);
            assert_eq!(fs::read(folder.path("stored.npy")).unwrap(), y);
            assert_eq!(
                folder.names(),
                ["drawn.npy", "mask.npy", "stored.npy", "x.npy", "y.npy"]
            );
        }
    }
}

#[test]
fn any_shape_is_kept() {
    for (shape, length, written) in [
        ("()", 1, "()"),
        ("(0,)", 0, "(0,"),
        ("(3, 0, 18446744073709551615)", 0, "(3, 0, "),
        ("(1, 1, 5)", 5, "(1, 1, 5"),
    ] {
        let folder = Folder::new();
        folder.npy("x.npy", "<f4", shape, &vec![1.0f32; length]);
        folder.done(&[
            "apply",
            "x.npy",
            "y.npy",
            "--p",
            "0",
            "--seed",
            "1",
            "--mask-out",
            "m.npy",
            "--mask-format",
            "bytes",
        ]);
        for name in ["y.npy", "m.npy"] {
            let (header, data) = read(&folder.path(name));
            assert!(header.contains(&format!("'shape': {written}")), "{header}");
            assert_eq!(data.len(), length * if name == "y.npy" { 4 } else { 1 });
        }
    }
}

#[test]
fn long_files_stream_through() {
    let folder = Folder::new();
    let length = (1 << 23) + 4_097;
    let x = numbers(length, f16::from_f32);
    folder.npy("x.npy", "<f2", &format!("({length},)"), &x);
    for (backend, output) in [("cpu", "cpu.npy"), ("gpu", "gpu.npy")] {
        let mask = format!("mask-{output}");
        let arguments = [
            "apply",
            "x.npy",
            output,
            "--p",
            "0.1",
            "--seed",
            "3",
            "--mask-out",
            &mask,
            "--backend",
            backend,
        ];
        folder.done(&arguments);
    }
    let mut y = x;
    wgpu_dropout::cpu::forward_in_place(&Dropout::new(0.1, 3).unwrap(), &mut y).unwrap();
    for name in ["cpu.npy", "gpu.npy"] {
        assert!(
            read(&folder.path(name)).1 == bytemuck::cast_slice::<f16, u8>(&y),
            "{name}"
        );
    }
    assert_eq!(read(&folder.path("mask-cpu.npy")), read(&folder.path("mask-gpu.npy")));
}

#[test]
fn masks_are_broadcast_by_shape_or_strides() {
    let folder = Folder::new();
    // Longer than a piece, which is cut within a feature map.
    let (shape, elements) = ([3u64, 5, 300_007], 3 * 5 * 300_007);
    let x = numbers(elements, |x| x + 1.0);
    folder.npy("x.npy", "<f4", "(3, 5, 300007)", &x);
    let dropout = Dropout::new(0.4, 9).unwrap().with_element_offset(1001);
    let expected = |map: &IndexMap| {
        let mut y = vec![0.0f32; elements];
        reference::forward(dropout.over(map), &x, &mut y).unwrap();
        bytemuck::cast_slice::<f32, u8>(&y).to_vec()
    };
    let common = ["--p", "0.4", "--seed", "9", "--element-offset", "1001"];
    let maps = [
        (["--noise-shape", "3,5,1"], IndexMap::channels(&shape).unwrap()),
        (["--mask-strides", "5,1,0"], IndexMap::channels(&shape).unwrap()),
        (
            ["--mask-strides", "0,0x10000000000,1"],
            IndexMap::new(&shape, &[0, 1 << 40, 1]).unwrap(),
        ),
    ];
    for (option, map) in &maps {
        let expected = expected(map);
        for backend in ["gpu", "cpu", "reference"] {
            let arguments = [
                &["apply", "x.npy", "y.npy", "--backend", backend],
                &option[..],
                &common[..],
            ];
            folder.done(&arguments.concat());
            assert!(read(&folder.path("y.npy")).1 == expected, "{option:?} on {backend}");
        }
    }
    let apply = |option: &[&'static str]| [&["apply", "x.npy", "z.npy"], option, &common[..]].concat();
    let message = folder.refused(1, &apply(&["--noise-shape", "3,4,1"]));
    assert!(
        message.contains("noise shape has 4 in dimension 1, where the shape has 5; use 5 or 1"),
        "{message}"
    );
    let message = folder.refused(1, &apply(&["--mask-strides", "1,0"]));
    assert!(
        message.contains("mask_strides has 2 entries, but the shape has 3 dimensions"),
        "{message}"
    );
    folder.refused(2, &apply(&["--noise-shape", "3,5,1", "--mask-strides", "5,1,0"]));
    assert_eq!(folder.names(), ["x.npy", "y.npy"]);
}

#[test]
fn the_output_may_be_the_input() {
    let folder = Folder::new();
    let x = numbers(100, |x| x);
    folder.npy("x.npy", "<f4", "(100,)", &x);
    folder.done(&APPLY.map(|word| if word == "y.npy" { "x.npy" } else { word }));
    let mut y = x;
    reference::forward_in_place(&Dropout::new(0.5, 1).unwrap(), &mut y).unwrap();
    assert_eq!(read(&folder.path("x.npy")).1, bytemuck::cast_slice::<f32, u8>(&y));
    assert_eq!(folder.names(), ["x.npy"]);
}

/// The file streams through: what it takes of memory does not grow with it.
#[cfg(target_os = "linux")]
#[test]
fn memory_is_bounded() {
    const BYTES: u64 = 512 << 20;
    let folder = Folder::new();
    let path = folder.npy::<f32>("x.npy", "<f4", &format!("({},)", BYTES / 4), &[]);
    // A hole of zeros.
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_len(file.metadata().unwrap().len() + BYTES).unwrap();
    let mut child = folder.spawn(&APPLY);
    // The kernel's own record of the most there was, in KiB, while the process lives.
    let status = format!("/proc/{}/status", child.id());
    let mut most = 0;
    while child.try_wait().unwrap().is_none() {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        most = line.map_or(most, |line| line.trim().trim_end_matches(" kB").parse().unwrap());
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert!(child.wait().unwrap().success());
    assert_eq!(fs::metadata(folder.path("y.npy")).unwrap().len() / BYTES, 1);
    assert!((1_000..256 << 10).contains(&most), "{most} KiB");
}

/// Whenever it is killed, the output is the old one or the new one, and nothing else has its name.
#[cfg(unix)]
#[test]
fn killed_at_any_moment_it_leaves_the_old_output_or_the_new_one() {
    let folder = Folder::new();
    let x = numbers::<f32>(4 << 20, |x| x);
    folder.npy("x.npy", "<f4", "(4194304,)", &x);
    let start = std::time::Instant::now();
    folder.done(&APPLY);
    let whole = start.elapsed();
    let new = fs::read(folder.path("y.npy")).unwrap();
    let old = b"what was there before".to_vec();
    let mut left = [0; 2];
    for moment in 0..40 {
        folder.write("y.npy", &old);
        let mut child = folder.spawn(&APPLY);
        std::thread::sleep(whole * moment / 30);
        // It may be done already.
        let _ = child.kill();
        child.wait().unwrap();
        let output = fs::read(folder.path("y.npy")).unwrap();
        assert!(
            output == old || output == new,
            "{} bytes at moment {moment}",
            output.len()
        );
        left[usize::from(output == new)] += 1;
        // What is left of it is a temporary by its name.
        for name in folder.names() {
            match name.as_str() {
                "x.npy" | "y.npy" => {}
                name if name.starts_with(".wgpu-dropout-") => fs::remove_file(folder.path(name)).unwrap(),
                name => panic!("{name}"),
            }
        }
    }
    assert!(left[0] > 0, "killed before it was done at least once");
}

/// A disk that takes no more: the message says so, the old output stays, and no temporary is left.
#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_is_full() {
    let folder = Folder::new();
    folder.npy("x.npy", "<f4", "(1000000,)", &numbers::<f32>(1_000_000, |x| x));
    folder.write("y.npy", b"old");
    folder.write("mask.npy", b"old");
    let tool = env!("CARGO_BIN_EXE_wgpu-dropout");
    // The shell's limit on a file's length, in place of a file system that is full; 512 bytes or 1 KiB each.
    for (limit, options) in [
        (8, ""),
        (5000, ""),
        (5000, "--mask-out mask.npy"),
        (30, "--mask-out mask.npy"),
    ] {
        let script = format!(
            "trap '' XFSZ; ulimit -f {limit}; exec {tool} apply x.npy y.npy --p 0.5 --seed 1 --backend cpu {options}"
        );
        let output = Command::new("sh")
            .current_dir(folder.0.path())
            .args(["-c", &script])
            .output()
            .unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(error.contains("y.npy") || error.contains("mask.npy"), "{error}");
        assert!(error.contains("large") && !error.contains("panicked"), "{error}");
        assert_eq!(folder.names(), ["mask.npy", "x.npy", "y.npy"], "{limit} {options}");
        for name in ["y.npy", "mask.npy"] {
            assert_eq!(fs::read(folder.path(name)).unwrap(), b"old", "{limit} {options}");
        }
    }
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let output = Command::new(tool)
        .args(["rng", "--seed", "1", "--backend", "cpu", "--words", "5"])
        .stdout(full)
        .output()
        .unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("No space left"), "{error}");
}

#[test]
fn help_shows_examples() {
    let folder = Folder::new();
    for (command, example) in [
        (
            "apply",
            "wgpu-dropout apply dy.npy dx.npy --p 0.1 --seed 42 --subsequence 7 --backward",
        ),
        ("verify", "wgpu-dropout verify --adapter nvidia --exhaustive"),
        ("info", "wgpu-dropout info --json"),
        ("rng", "wgpu-dropout rng --seed 42 | dieharder -a -g 200"),
    ] {
        assert!(folder.done(&[command, "--help"]).contains(example), "{command}");
    }
    assert!(folder.done(&["--help"]).contains("apply"));
    assert_eq!(
        folder.done(&["--version"]).trim(),
        concat!("wgpu-dropout ", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn shells_and_the_manual_know_the_arguments() {
    let folder = Folder::new();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = folder.done(&["completions", shell]);
        assert!(script.contains("noise-shape") && script.contains("bench"), "{shell}");
    }
    folder.done(&["man", "share/man1"]);
    let page = |name: &str| fs::read_to_string(folder.path(&format!("share/man1/{name}.1"))).unwrap();
    for command in ["apply", "bench", "info", "rng", "verify"] {
        assert!(page("wgpu-dropout").contains(command), "{command}");
        let page = page(&format!("wgpu-dropout-{command}"));
        assert!(page.contains("Examples:") && page.contains(".SH OPTIONS"), "{command}");
    }
    let error = folder.refused(1, &["man", "share/man1/wgpu-dropout.1"]);
    assert!(error.contains("give a folder that can be written"), "{error}");
}

/// Bytes of the generator of the library.
fn philox_bytes(seed: u64, subsequence: u64, start: u64, words: usize) -> Vec<u8> {
    let mut generator = Philox4x32::new(seed, subsequence);
    generator.seek_word(start.into());
    (0..words).flat_map(|_| generator.next_u32().to_le_bytes()).collect()
}

#[test]
fn rng_writes_the_words_of_the_masks() {
    let folder = Folder::new();
    let adapters: serde_json::Value = serde_json::from_str(&folder.done(&["info", "--json"])).unwrap();
    let mut ways: Vec<Vec<&str>> = adapters
        .as_array()
        .unwrap()
        .iter()
        .map(|adapter| vec!["--adapter", adapter["name"].as_str().unwrap()])
        .collect();
    ways.push(vec!["--backend", "cpu"]);
    // More than a piece and no whole tiles; blocks that pass 2^32; the last words there are.
    for (start, words) in [(0, 3), (5, (1 << 20) + 7), ((1 << 34) - 9, 1000), (u64::MAX - 32, 33)] {
        for way in &ways {
            let [start_text, words_text] = [start, words].map(|number: u64| number.to_string());
            let mut arguments = vec![
                "rng",
                "--seed",
                "0x123456789abcdef0",
                "--subsequence",
                "0xfedcba9876543210",
            ];
            arguments.extend(["--start", &start_text, "--words", &words_text]);
            arguments.extend(way);
            let output = folder.run(&arguments);
            assert_eq!(
                output.status.code(),
                Some(0),
                "{}",
                String::from_utf8_lossy(&output.stderr)
            );
            let expected = philox_bytes(0x1234_5678_9abc_def0, 0xfedc_ba98_7654_3210, start, words as usize);
            assert!(output.stdout == expected, "{arguments:?}");
        }
    }
}

/// An endless stream ends, without a complaint, when its reader does.
#[test]
fn rng_ends_with_its_reader() {
    use std::io::Read as _;
    let mut child = Command::new(env!("CARGO_BIN_EXE_wgpu-dropout"))
        .args(["rng", "--seed", "7", "--backend", "cpu"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut bytes = vec![0; 5 << 20];
    child.stdout.take().unwrap().read_exact(&mut bytes).unwrap();
    assert!(bytes == philox_bytes(7, 0, 0, bytes.len() / 4));
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stderr.is_empty());
}

#[test]
fn info_lists_adapters_and_their_variants() {
    let folder = Folder::new();
    let adapters: serde_json::Value = serde_json::from_str(&folder.done(&["info", "--json"])).unwrap();
    let adapters = adapters.as_array().unwrap();
    assert!(!adapters.is_empty());
    let text = folder.done(&["info"]);
    for adapter in adapters {
        assert_eq!(adapter["error"], serde_json::Value::Null);
        assert!(text.contains(adapter["name"].as_str().unwrap()), "{text}");
        assert!(text.contains(adapter["multiply"]["why"].as_str().unwrap()), "{text}");
        assert!(adapter["max_binding_bytes"].as_u64().unwrap() > 0);
    }
}

#[test]
fn bench_reports_every_case() {
    let folder = Folder::new();
    let printed = folder.done(&[
        "bench",
        "--backend",
        "cpu",
        "--sizes",
        "1000,2Ki",
        "--op",
        "forward,backward,mask",
        "--mask",
        "none,bits,bytes",
        "--random-bits",
        "8,32",
        "--p",
        "0.1,0.5",
        "--json",
        "b.json",
        "--csv",
        "b.csv",
        "--plot",
        "b.svg",
    ]);
    assert!(printed.contains("equal to the reference"), "{printed}");
    assert!(printed.contains("memory speed"), "{printed}");

    let report: serde_json::Value = serde_json::from_slice(&fs::read(folder.path("b.json")).unwrap()).unwrap();
    assert_eq!(report["schema"], 1);
    assert!(report["adapter"].is_null() && report["driver"].is_null());
    assert!(report["machine"]["cores"].as_u64().unwrap() > 0);
    assert_eq!(report["versions"]["wgpu"].as_str().unwrap().split('.').count(), 3);
    let rows = report["rows"].as_array().unwrap();
    // Forward and backward: 3 types x 3 masks; the mask alone: 2 formats. Each 2 widths, 2 p, 2 sizes.
    assert_eq!(rows.len(), (2 * 3 * 3 + 2) * 8);
    for row in rows {
        let time = |name: &str| row[name].as_f64().unwrap();
        assert_eq!(row["backend"], "cpu");
        assert!(time("median_s") > 0.0 && time("roof_median_s") > 0.0, "{row}");
        assert!((time("ratio_to_roof") * time("roof_median_s") / time("median_s") - 1.0).abs() < 1e-9);
        assert!(row["gpu_median_s"].is_null());
        let elements = row["elements"].as_u64().unwrap();
        let bits_bytes = elements.div_ceil(32) * 4;
        let mask_bytes = match row["mask"].as_str().unwrap() {
            "none" => 0,
            "bits" => bits_bytes,
            _ => elements.div_ceil(4) * 4,
        };
        let element_bytes = match row["dtype"].as_str().unwrap() {
            "none" => 0,
            "f32" => 4,
            _ => 2,
        };
        assert_eq!(row["mask_bytes"], mask_bytes);
        assert_eq!(row["bytes"], 2 * element_bytes * elements + mask_bytes);
    }
    // The documented fields and no others.
    let documented = include_str!("../../../docs/bench.md");
    for (name, _) in rows[0].as_object().unwrap() {
        assert!(
            documented.contains(&format!("`{name}`")),
            "{name} is not in docs/bench.md"
        );
    }
    let csv = fs::read_to_string(folder.path("b.csv")).unwrap();
    assert_eq!(csv.lines().count(), rows.len() + 1);
    assert_eq!(
        csv.lines().next().unwrap().split(',').count(),
        rows[0].as_object().unwrap().len()
    );
    let svg = fs::read_to_string(folder.path("b.svg")).unwrap();
    assert!(svg.starts_with("<svg") && svg.contains("share of memory speed") && svg.contains("CPU bf16"));
    assert_eq!(folder.names(), ["b.csv", "b.json", "b.svg"]);
}

#[test]
fn bench_plots_pixels() {
    let folder = Folder::new();
    folder.done(&["bench", "--backend", "cpu", "--sizes", "100", "--plot", "b.png"]);
    let decoder = png::Decoder::new(std::io::BufReader::new(fs::File::open(folder.path("b.png")).unwrap()));
    let mut reader = decoder.read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    reader.next_frame(&mut pixels).unwrap();
    // Lines and letters on white.
    let inked = pixels.iter().filter(|&&value| value < 128).count();
    assert!(inked > pixels.len() / 1000 && inked < pixels.len() / 4, "{inked}");
}

#[test]
fn bench_refuses_what_does_not_fit() {
    let folder = Folder::new();
    let output = folder.run(&[
        "bench",
        "--backend",
        "cpu",
        "--dtype",
        "f32",
        "--sizes",
        "1024Gi,100",
        "--csv",
        "b.csv",
    ]);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("needs 8192.0 GiB of memory"), "{error}");
    // The case that fits is there all the same.
    assert_eq!(fs::read_to_string(folder.path("b.csv")).unwrap().lines().count(), 2);
}

/// Needs an adapter, as the library's GPU tests do.
#[test]
fn bench_on_every_adapter() {
    let folder = Folder::new();
    folder.done(&[
        "bench",
        "--adapter",
        "all",
        "--sizes",
        "1000,4Ki",
        "--op",
        "forward,backward,mask",
        "--mask",
        "none,bits,bytes",
        "--dtype",
        "f32,bf16",
        "--json",
        "b.json",
    ]);
    let report: serde_json::Value = serde_json::from_slice(&fs::read(folder.path("b.json")).unwrap()).unwrap();
    let rows = report["rows"].as_array().unwrap();
    let cases = (2 * 2 * 3 + 2) * 2;
    let adapters = report["adapter"].as_str().unwrap().split("; ").count();
    assert_eq!(rows.len(), cases * (1 + adapters));
    for row in rows.iter().filter(|row| row["backend"] == "gpu") {
        assert!(row["median_s"].as_f64().unwrap() > 0.0 && row["first_use_s"].as_f64().unwrap() > 0.0);
        assert!(row["gpu_over_cpu"].as_f64().unwrap() > 0.0);
        // Both clocks of both, or neither.
        assert_eq!(row["gpu_median_s"].is_null(), row["gpu_roof_median_s"].is_null());
    }
}

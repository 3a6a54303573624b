//! What a user of the command line can get wrong, each with the message: the second part of docs/errors.md.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::documented::{Table, check};
use crate::{Folder, npy};

const OLD: &[u8] = b"what was there before";
const CALL: [&str; 6] = ["--p", "0.5", "--seed", "1", "--backend", "cpu"];

#[test]
fn messages_are_the_documented_ones() {
    let tables = [
        usage(),
        tensor_files(),
        masks_and_shapes(),
        places_and_adapters(),
        reports(),
    ];
    assert!(tables.iter().map(|table| table.rows.len()).sum::<usize>() >= 60);
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/errors.md");
    check(&document, "cli", &tables);
}

/// A folder with a tensor of 2 x 32 f32, and an output of an earlier run.
fn folder() -> Folder {
    let folder = Folder::new();
    folder.npy("x.npy", "<f4", "(2, 32)", &[1.0f32; 64]);
    folder.write("y.npy", OLD);
    folder
}

/// What is said, without clap's reminder of the usage; nothing has changed in the folder.
fn said(folder: &Folder, before: &[String], output: &Output, status: i32) -> String {
    let error = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(status), "{error}");
    assert!(!error.contains("panicked"), "{error}");
    assert!(output.stdout.is_empty(), "{error}");
    assert_eq!(folder.names(), before, "{error}");
    if before.iter().any(|name| name == "y.npy") {
        assert_eq!(fs::read(folder.path("y.npy")).unwrap(), OLD, "{error}");
    }
    // EGL's complaint about a machine without a desktop is not ours.
    let lines = error.lines().filter(|line| !line.contains("XDG_RUNTIME_DIR is"));
    let error = lines.collect::<Vec<_>>().join("\n");
    let error = error.strip_prefix("error: ").unwrap();
    let error = error.split("\n\nUsage:").next().unwrap();
    let error = error.split("\n\nFor more information").next().unwrap();
    // Which adapters there are is the machine's.
    match error.split_once("there are: ") {
        Some((before, _)) => format!("{before}there are: ..."),
        None => error.split_whitespace().collect::<Vec<_>>().join(" "),
    }
}

fn refused(table: &mut Table, what: &str, status: i32, folder: &Folder, arguments: &[&str]) {
    let before = folder.names();
    let output = folder.run(arguments);
    let message = said(folder, &before, &output, status);
    table.refused(what, Err::<(), _>(message));
}

fn usage() -> Table {
    let mut table = Table::new("Arguments (exit status 2)");
    let folder = folder();
    let mut apply = |what: &str, more: &[&str]| {
        let arguments = [&["apply", "x.npy", "y.npy"], more].concat();
        refused(&mut table, what, 2, &folder, &arguments);
    };
    apply("no probability", &["--seed", "1"]);
    apply("no seed", &["--p", "0.5"]);
    apply("a probability over 1", &["--seed", "1", "--p", "1.5"]);
    apply("a probability below 0", &["--seed", "1", "--p", "-0.5"]);
    apply("a probability of NaN", &["--seed", "1", "--p", "NaN"]);
    apply("a probability that is no number", &["--seed", "1", "--p", "half"]);
    apply("a seed of 2^64", &["--p", "0", "--seed", "0x10000000000000000"]);
    apply("a seed with a sign", &["--p", "0", "--seed", "+1"]);
    apply(
        "a subsequence that is no integer",
        &["--p", "0", "--seed", "1", "--subsequence", "1.5"],
    );
    apply("12 random bits", &["--p", "0", "--seed", "1", "--random-bits", "12"]);
    apply(
        "an element type without kernels",
        &["--p", "0", "--seed", "1", "--dtype", "f64"],
    );
    apply(
        "a stored mask for the forward pass",
        &["--p", "0", "--seed", "1", "--mask-in", "x.npy"],
    );
    apply(
        "a mask to be stored by the backward pass",
        &["--p", "0", "--seed", "1", "--mask-out", "m.npy", "--backward"],
    );
    apply(
        "a noise shape and mask strides",
        &[
            "--p",
            "0",
            "--seed",
            "1",
            "--noise-shape",
            "2,1",
            "--mask-strides",
            "1,0",
        ],
    );
    apply(
        "a noise shape that is no numbers",
        &["--p", "0", "--seed", "1", "--noise-shape", "2,x"],
    );
    refused(
        &mut table,
        "no files",
        2,
        &folder,
        &["apply", "--p", "0", "--seed", "1"],
    );
    refused(&mut table, "an unknown subcommand", 2, &folder, &["frobnicate"]);
    let mut bench = |what: &str, more: &[&str]| refused(&mut table, what, 2, &folder, &[&["bench"], more].concat());
    bench("`bench` of a size in decimal units", &["--sizes", "16M"]);
    bench("`bench` of no elements", &["--sizes", "0"]);
    bench("`bench` with a plot of another kind", &["--plot", "b.gif"]);
    table
}

fn tensor_files() -> Table {
    let mut table = Table::new("Tensor files");
    let x = [1.0f32; 6];
    let header = |descr: &str, fortran: &str, shape: &str| {
        npy(
            &format!("{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}"),
            &x,
        )
    };
    let with_length = |length: u32| {
        let mut bytes = b"\x93NUMPY\x02\x00".to_vec();
        bytes.extend(length.to_le_bytes());
        bytes.extend([b' '; 64]);
        bytes
    };
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("an empty file", vec![]),
        ("a file of another kind", b"PK\x03\x04 a zip file perhaps".to_vec()),
        (
            "a version of the format to come",
            b"\x93NUMPY\x04\x00\x10\x00 and so on".to_vec(),
        ),
        ("a header cut short", header("'<f4'", "False", "(6,)")[..40].to_vec()),
        ("a header of 4 GiB", with_length(u32::MAX)),
        ("a header that is no dict", npy("[1, 2]", &x)),
        ("a header that is no Python", npy("{{{", &x)),
        ("a header nested to overflow a stack", npy(&"(".repeat(9_000), &x)),
        // A parser that goes back at every bracket would be at it for hours.
        ("a header nested 16 deep", npy(&format!("{}:", "{".repeat(16)), &x)),
        (
            "one whose strings hold closing brackets",
            npy(&format!("{}:", "{'}}}}',".repeat(16)), &x),
        ),
        (
            "one whose strings are hard to tell",
            npy(&format!("{}:", "{'\\'}}','".repeat(16)), &x),
        ),
        ("a header without a key", npy("{'descr': '<f4', 'shape': (6,), }", &x)),
        ("f64", header("'<f8'", "False", "(3,)")),
        ("big-endian", header("'>f4'", "False", "(6,)")),
        ("u16, without `--dtype bf16`", header("'<u2'", "False", "(12,)")),
        ("records", header("[('a', '<f4')]", "False", "(6,)")),
        ("Python objects", header("'|O'", "False", "(6,)")),
        ("Fortran order", header("'<f4'", "True", "(2, 3)")),
        ("a negative length", header("'<f4'", "False", "(-6,)")),
        ("truncated data", header("'<f4'", "False", "(7,)")),
        (
            "a shape of 2^64 elements",
            header("'<f4'", "False", "(4294967296, 4294967296)"),
        ),
        ("bytes after the data", header("'<f4'", "False", "(5,)")),
    ];
    for (what, bytes) in cases {
        let folder = Folder::new();
        folder.write("x.npy", &bytes);
        folder.write("y.npy", OLD);
        let arguments = [&["apply", "x.npy", "y.npy"], &CALL[..]].concat();
        refused(&mut table, what, 1, &folder, &arguments);
    }
    let folder = folder();
    folder.npy("half.npy", "<f2", "(64,)", &[1u16; 64]);
    let mut typed = |what, more: &[&str]| {
        refused(&mut table, what, 1, &folder, &[&["apply"], more, &CALL[..]].concat());
    };
    typed("f32, said to be f16", &["x.npy", "y.npy", "--dtype", "f16"]);
    typed("f16, said to be bf16", &["half.npy", "y.npy", "--dtype", "bf16"]);
    table
}

fn masks_and_shapes() -> Table {
    let mut table = Table::new("Masks, shapes and offsets of a file of 2 x 32 elements");
    let folder = folder();
    folder.npy("short.npy", "<u4", "(1,)", &[u32::MAX; 1]);
    folder.npy("bytes.npy", "|u1", "(64,)", &[1u8; 64]);
    folder.npy("words.npy", "<u4", "(2,)", &[u32::MAX; 2]);
    let mut apply = |what: &str, more: &[&str]| {
        let arguments = [&["apply", "x.npy", "y.npy"], more, &CALL[..]].concat();
        refused(&mut table, what, 1, &folder, &arguments);
    };
    let stored = |file, format| ["--backward", "--mask-in", file, "--mask-format", format];
    apply("a bit mask of too few words", &stored("short.npy", "bits"));
    apply("a byte mask for a bit mask", &stored("bytes.npy", "bits"));
    apply("a bit mask for a byte mask", &stored("words.npy", "bytes"));
    apply("a byte mask of another shape", &stored("bytes.npy", "bytes"));
    apply("a mask that is not there", &stored("missing.npy", "bits"));
    apply("a noise shape of 3 dimensions", &["--noise-shape", "2,32,1"]);
    apply("a noise shape that does not broadcast", &["--noise-shape", "2,4"]);
    apply("mask strides of 1 dimension", &["--mask-strides", "1"]);
    apply(
        "mask strides that pass 2^64",
        &["--mask-strides", "0xffffffffffffffff,1"],
    );
    apply("elements that pass 2^64", &["--element-offset", "0xffffffffffffffc1"]);
    apply(
        "elements that pass 2^64 by their strides",
        &["--element-offset", "0xfffffffffffffff0", "--mask-strides", "16,0"],
    );
    table
}

fn places_and_adapters() -> Table {
    let mut table = Table::new("Places and adapters");
    let folder = folder();
    let mut apply = |what: &str, files: &[&str]| {
        refused(&mut table, what, 1, &folder, &[&["apply"], files, &CALL[..]].concat());
    };
    apply("an input that is not there", &["missing.npy", "y.npy"]);
    apply("an input that is a folder", &[".", "y.npy"]);
    apply(
        "an output in a folder that is not there",
        &["x.npy", "no/such/folder/y.npy"],
    );
    apply("an output below a file", &["x.npy", "y.npy/z.npy"]);
    apply("an output that is a folder", &["x.npy", "."]);
    apply(
        "one file for the output and the mask",
        &["x.npy", "y.npy", "--mask-out", "./y.npy"],
    );
    apply(
        "a mask in a folder that is not there",
        &["x.npy", "y.npy", "--mask-out", "no/such/folder/m.npy"],
    );
    refused(&mut table, "a manual below a file", 1, &folder, &["man", "x.npy/man"]);
    let on_gpu = ["apply", "x.npy", "y.npy", "--p", "0", "--seed", "0"];
    let mut adapter = |what: &str, arguments: &[&str]| refused(&mut table, what, 1, &folder, arguments);
    adapter(
        "an adapter that is not there",
        &[&on_gpu[..], &["--adapter", "no such GPU"]].concat(),
    );
    adapter("`verify` of one", &["verify", "--adapter", "no such GPU"]);
    adapter(
        "`bench` of one",
        &["bench", "--backend", "gpu", "--adapter", "no such GPU"],
    );
    adapter("`rng` of one", &["rng", "--seed", "1", "--adapter", "no such GPU"]);
    for (what, arguments) in [
        (
            "a machine without a driver",
            &[&on_gpu[..], &["--backend", "gpu"]].concat()[..],
        ),
        ("`verify` on a machine without a driver", &["verify"]),
    ] {
        let before = folder.names();
        // No Vulkan driver at all, and none of the other backends.
        let output = Command::new(env!("CARGO_BIN_EXE_wgpu-dropout"))
            .current_dir(folder.0.path())
            .args(arguments)
            .env_remove("VK_ADD_DRIVER_FILES")
            .env_remove("WGPU_ADAPTER_NAME")
            .envs([
                ("WGPU_BACKEND", "vulkan"),
                ("VK_DRIVER_FILES", "none.json"),
                ("VK_ICD_FILENAMES", "none.json"),
            ])
            .output()
            .unwrap();
        table.refused(what, Err::<(), _>(said(&folder, &before, &output, 1)));
    }
    table
}

fn reports() -> Table {
    let mut table = Table::new("Reports and streams");
    let folder = folder();
    let mut run = |what: &str, arguments: &[&str]| refused(&mut table, what, 1, &folder, arguments);
    let bench = ["bench", "--backend", "cpu", "--dtype", "f32"];
    run(
        "`bench --op mask` without a format",
        &[&bench[..], &["--op", "mask"]].concat(),
    );
    run(
        "a report in a folder that is not there",
        &[&bench[..], &["--json", "no/such/folder/b.json"]].concat(),
    );
    run(
        "a table in a folder that is not there",
        &[&bench[..], &["--csv", "no/such/folder/b.csv"]].concat(),
    );
    run(
        "a plot in a folder that is not there",
        &[&bench[..], &["--plot", "no/such/folder/b.svg"]].concat(),
    );
    run(
        "`rng` for more words than there are",
        &[
            "rng",
            "--seed",
            "1",
            "--start",
            "0xffffffffffffffff",
            "--words",
            "2",
            "--backend",
            "cpu",
        ],
    );
    table
}

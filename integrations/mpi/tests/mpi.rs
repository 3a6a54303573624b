//! Under `mpirun`: one digest and one loss curve for any number of processes.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail loudly")]

#[path = "../examples/common/mod.rs"]
mod common;

use std::path::PathBuf;
use std::process::Command;

use common::{Value, digest};
use wgpu_dropout_mpi::wgpu_dropout::half::f16;
use wgpu_dropout_mpi::wgpu_dropout::{Dropout, reference};

const SHAPE: [u64; 3] = [37, 20, 46];

/// An example, built beside this test.
fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.parent().unwrap().parent().unwrap();
    profile.join("examples").join(name)
}

/// What so many processes of an example print.
fn mpirun(processes: usize, name: &str, arguments: &[String]) -> String {
    let output = Command::new("mpirun")
        .args(["--oversubscribe", "-n", &processes.to_string()])
        .arg(example(name))
        .args(arguments)
        // Tests may run as root in a container, and without what it takes to copy between processes at once.
        .env("OMPI_ALLOW_RUN_AS_ROOT", "1")
        .env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1")
        .env("OMPI_MCA_btl_vader_single_copy_mechanism", "none")
        .output()
        .expect("mpirun: `cargo xtask mpi` installs it on Debian and Ubuntu");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{processes} x {name} {arguments:?}:\n{printed}{errors}"
    );
    printed
}

/// The digests of one process: the whole tensor through the reference.
fn whole<T: Value>() -> [String; 2] {
    let call = Dropout::new(0.3, 42).unwrap();
    let values = |salt| {
        (0..SHAPE.iter().product())
            .map(|index| T::of(index, salt))
            .collect::<Vec<_>>()
    };
    let (x, dy) = (values(0), values(1));
    let (mut y, mut dx) = (x.clone(), dy.clone());
    reference::forward(&call, &x, &mut y).unwrap();
    reference::backward(&call, &dy, &mut dx).unwrap();
    [digest(&y), digest(&dx)]
}

fn numbers(numbers: &[u64]) -> String {
    numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(",")
}

fn check(grid: [u64; 3], backend: &str, dtype: &str, expected: &[String; 2]) {
    let processes = grid.iter().product::<u64>() as usize;
    let arguments = [
        ["--shape".to_owned(), numbers(&SHAPE)],
        ["--grid".to_owned(), numbers(&grid)],
        ["--backend".to_owned(), backend.to_owned()],
        ["--dtype".to_owned(), dtype.to_owned()],
    ];
    let printed = mpirun(processes, "digest", &arguments.concat());
    let digests: Vec<_> = ["forward  ", "backward "]
        .into_iter()
        .filter_map(|name| printed.lines().find_map(|line| line.strip_prefix(name)))
        .collect();
    assert_eq!(digests, expected, "{grid:?} on the {backend}, {dtype}:\n{printed}");
}

const WHOLE: [u64; 3] = [1, 1, 1];
/// Rows, columns, both at once, and the dimension between.
const GRIDS: [[u64; 3]; 7] = [
    [2, 1, 1],
    [1, 1, 2],
    [1, 2, 1],
    [4, 1, 1],
    [1, 1, 4],
    [2, 1, 2],
    [1, 2, 2],
];

#[test]
fn one_digest_on_the_cpu() {
    let expected = whole::<f32>();
    check(WHOLE, "cpu", "f32", &expected);
    for grid in GRIDS {
        check(grid, "cpu", "f32", &expected);
    }
    check([2, 1, 2], "cpu", "f16", &whole::<f16>());
}

/// Each rank on an adapter of its own, as far as there are several.
#[test]
fn one_digest_on_gpus() {
    let expected = whole::<f32>();
    for grid in [WHOLE, [2, 1, 1], [1, 1, 2], [2, 1, 2]] {
        check(grid, "gpu", "f32", &expected);
    }
    check([1, 2, 2], "gpu", "f16", &whole::<f16>());
}

fn losses(printed: &str) -> Vec<f32> {
    let bits = |line: &str| u32::from_str_radix(line.rsplit_once('(')?.1.strip_suffix(')')?, 16).ok();
    printed.lines().filter_map(bits).map(f32::from_bits).collect()
}

#[test]
fn one_loss_curve() {
    let alone = mpirun(1, "data_parallel", &[]);
    let curve = losses(&alone);
    assert_eq!(curve.len(), 200);
    assert!(curve[199] < 0.5 * curve[0], "it learns: {} to {}", curve[0], curve[199]);
    for processes in [2, 4] {
        assert_eq!(mpirun(processes, "data_parallel", &[]), alone, "{processes} processes");
    }
    // Summed by MPI, the curve is the same but for rounding.
    let summed = losses(&mpirun(4, "data_parallel", &["--all-reduce".to_owned()]));
    assert_eq!(summed.len(), 200);
    for (step, (a, b)) in curve.iter().zip(&summed).enumerate() {
        assert!((a - b).abs() < 1e-3, "step {step}: {a} and {b}");
    }
}

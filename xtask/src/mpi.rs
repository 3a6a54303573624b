//! Many processes on one machine: MPI, and dropout over it.

use std::process::{Command, ExitCode};

use crate::{Failure, adapters, succeed, test};

/// Debian's and Ubuntu's: the library and its compiler wrapper, what starts processes, and what reads C headers.
const PACKAGES: [&str; 3] = ["libopenmpi-dev", "openmpi-bin", "libclang-dev"];

/// `cargo xtask mpi`: installs what is missing and runs the member's tests.
pub fn run() -> Result<ExitCode, Failure> {
    provide()?;
    let environment = test::adapters()?;
    let mut tests = test::tests_of(&["wgpu-dropout-mpi"]);
    succeed(tests.envs(&environment))?;
    println!("xtask: to see it: mpirun -n 4 target/light/examples/digest --shape 37,20,46 --grid 2,1,2");
    Ok(ExitCode::SUCCESS)
}

/// MPI is there, or is installed.
pub fn provide() -> Result<(), Failure> {
    if is_there() {
        return Ok(());
    }
    let packages = PACKAGES.join(" ");
    if !adapters::is_debian() {
        return Err("no MPI found (mpicc, mpirun). Install OpenMPI's development files and libclang".into());
    }
    if !adapters::is_root() {
        return Err(format!("no MPI found. Install it: sudo apt-get install {packages}").into());
    }
    println!("xtask: installing OpenMPI ({packages})");
    adapters::install(&PACKAGES)
}

fn is_there() -> bool {
    // Also where it is built by hand, or a cluster's module.
    let runs = ["mpicc", "mpirun"].iter().all(|program| {
        let version = Command::new(program).arg("--version").output();
        version.is_ok_and(|output| output.status.success())
    });
    // Without it the build says what it misses, but not from where to get it.
    runs && (!adapters::is_debian() || adapters::is_installed("libclang-dev"))
}

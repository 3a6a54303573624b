//! Software adapters where a machine has no GPU: Mesa's llvmpipe (Vulkan and GL) and SwiftShader.
//!
//! On Debian and Ubuntu, from their own packages: installed as root, unpacked under `target/adapters`
//! without. Elsewhere it says what to install.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Failure, root, succeed};

/// Environment variables that make the adapters known.
pub type Environment = BTreeMap<&'static str, OsString>;

const MESA: [&str; 4] = ["mesa-vulkan-drivers", "libvulkan1", "libegl1", "libgl1-mesa-dri"];

fn folder() -> PathBuf {
    root().join("target/adapters")
}

fn mesa_folder() -> PathBuf {
    folder().join("mesa")
}

fn swiftshader_icd() -> PathBuf {
    folder().join("swiftshader/vk_swiftshader_icd.json")
}

/// The environment for what is there already, provided before or the machine's own; without [`provide_swiftshader`]'s, which
/// is there for tests and ten times as slow: whoever asks for no adapter in particular shall not get it.
pub fn present() -> Environment {
    environment(None)
}

/// The same with SwiftShader, once it is provided.
pub fn present_with_swiftshader() -> Environment {
    environment(Some(swiftshader_icd()).filter(|icd| icd.exists()))
}

fn environment(swiftshader: Option<PathBuf>) -> Environment {
    let mut environment = Environment::new();
    let run = folder().join("run");
    if std::env::var_os("XDG_RUNTIME_DIR").is_none() && fs::create_dir_all(&run).is_ok() {
        // Mesa complains on standard error where it has none.
        environment.insert("XDG_RUNTIME_DIR", run.into());
    }
    let mut drivers: Vec<PathBuf> = Vec::new();
    if let Some(libraries) = library_folder(&mesa_folder()) {
        drivers.push(mesa_folder().join("lvp_icd.json"));
        environment.insert("LD_LIBRARY_PATH", libraries.clone().into());
        environment.insert("LIBGL_DRIVERS_PATH", libraries.join("dri").into());
        let egl = mesa_folder().join("usr/share/glvnd/egl_vendor.d/50_mesa.json");
        environment.insert("__EGL_VENDOR_LIBRARY_FILENAMES", egl.into());
    }
    drivers.extend(swiftshader);
    if !drivers.is_empty()
        && let Ok(list) = std::env::join_paths(drivers)
    {
        // Beside the machine's own drivers, not instead of them.
        environment.insert("VK_ADD_DRIVER_FILES", list);
    }
    environment
}

/// `usr/lib/<architecture>` of an unpacked Mesa.
fn library_folder(unpacked: &Path) -> Option<PathBuf> {
    let lib = fs::read_dir(unpacked.join("usr/lib")).ok()?;
    lib.flatten()
        .map(|entry| entry.path())
        .find(|path| path.join("libvulkan_lvp.so").exists())
}

/// Whether the machine's Vulkan and GL can only be Mesa's software ones: they are there, a GPU is not.
pub fn only_mesa() -> bool {
    let lavapipe = holds("/usr/share/vulkan/icd.d", "lvp_icd");
    let egl = holds("/usr/share/glvnd/egl_vendor.d", "50_mesa");
    !has_gpu() && (library_folder(&mesa_folder()).is_some() || (lavapipe && egl))
}

/// Whether a machine with neither GPU nor Vulkan driver can have Mesa's, beside the software GL that it may have.
pub fn misses_vulkan() -> bool {
    let drivers = ["/usr/share/vulkan/icd.d", "/etc/vulkan/icd.d"];
    let vulkan = drivers.iter().any(|folder| holds(folder, "")) || library_folder(&mesa_folder()).is_some();
    is_debian() && !has_gpu() && !vulkan
}

fn has_gpu() -> bool {
    holds("/dev/dri", "renderD") || holds("/dev", "nvidia")
}

/// Whether a folder holds a name that starts so.
pub fn holds(folder: &str, prefix: &str) -> bool {
    fs::read_dir(folder).is_ok_and(|entries| {
        let mut names = entries.flatten().map(|entry| entry.file_name());
        names.any(|name| name.to_string_lossy().starts_with(prefix))
    })
}

/// Whether Debian's package tools are there.
pub fn is_debian() -> bool {
    Path::new("/etc/debian_version").exists() && Path::new("/usr/bin/apt-get").exists()
}

pub fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

/// Whether one of Debian's packages is there.
pub fn is_installed(package: &str) -> bool {
    let query = Command::new("dpkg-query").args(["--show", package]).output();
    query.is_ok_and(|output| output.status.success())
}

/// Installs packages, as root.
pub fn install(packages: &[&str]) -> Result<(), Failure> {
    succeed(Command::new("apt-get").args(["update", "-qq"]))?;
    succeed(
        Command::new("apt-get")
            .args(["install", "-y", "-qq", "--no-install-recommends"])
            .args(packages)
            .env("DEBIAN_FRONTEND", "noninteractive"),
    )
}

/// Provides Mesa's software Vulkan and GL.
pub fn provide_mesa() -> Result<Environment, Failure> {
    if !is_debian() {
        return Err(
            "no GPU adapter found. Install your GPU's Vulkan driver, or a software one:\n  \
             Fedora: dnf install mesa-vulkan-drivers vulkan-loader\n  \
             Arch: pacman -S vulkan-swrast vulkan-icd-loader\n  \
             Alpine: apk add mesa-vulkan-swrast vulkan-loader\n\
             macOS and Windows bring Metal and DirectX 12 with them; there, update the system."
                .into(),
        );
    }
    if is_root() {
        println!(
            "xtask: no GPU found; installing Mesa's software Vulkan ({})",
            MESA.join(", ")
        );
        install(&MESA)?;
        return Ok(present());
    }
    println!(
        "xtask: no GPU found; unpacking Mesa's software Vulkan under {}",
        mesa_folder().display()
    );
    let archives = PrivateApt::update()?.download_with_dependencies(&MESA)?;
    for archive in &archives {
        succeed(
            Command::new("dpkg-deb")
                .arg("--extract")
                .arg(archive)
                .arg(mesa_folder()),
        )?;
    }
    let libraries = library_folder(&mesa_folder()).ok_or("the packages hold no libvulkan_lvp.so")?;
    let library = libraries.join("libvulkan_lvp.so");
    let icd = format!(
        "{{\"file_format_version\": \"1.0.0\", \"ICD\": {{\"library_path\": {:?}, \"api_version\": \"1.1.0\"}}}}\n",
        library.display().to_string()
    );
    fs::write(mesa_folder().join("lvp_icd.json"), icd)?;
    Ok(present())
}

/// Provides SwiftShader, a second Vulkan implementation to test on: two files of Debian's Chromium,
/// unpacked. `false` where there is no such package.
pub fn provide_swiftshader() -> Result<bool, Failure> {
    if swiftshader_icd().exists() {
        return Ok(true);
    }
    if !is_debian() {
        return Ok(false);
    }
    println!(
        "xtask: unpacking SwiftShader from Debian's chromium-common under {}",
        folder().display()
    );
    let Ok(archive) = PrivateApt::update()?.download("chromium-common") else {
        return Ok(false);
    };
    let unpacked = folder().join("chromium");
    succeed(Command::new("dpkg-deb").arg("--extract").arg(&archive).arg(&unpacked))?;
    let chromium = unpacked.join("usr/lib/chromium");
    let swiftshader = folder().join("swiftshader");
    let is_there = chromium.join("libvk_swiftshader.so").exists();
    if is_there {
        fs::create_dir_all(&swiftshader)?;
        // The description last: it is what says that SwiftShader is there.
        for file in ["libvk_swiftshader.so", "vk_swiftshader_icd.json"] {
            fs::copy(chromium.join(file), swiftshader.join(file))?;
        }
    }
    fs::remove_dir_all(unpacked)?;
    fs::remove_file(archive)?;
    Ok(is_there)
}

/// apt with lists and archives of its own, so that it needs no root and leaves the system as it is.
struct PrivateApt {
    folder: PathBuf,
}

impl PrivateApt {
    fn update() -> Result<Self, Failure> {
        let apt = Self {
            folder: folder().join("apt"),
        };
        fs::create_dir_all(apt.folder.join("lists/partial"))?;
        fs::create_dir_all(apt.folder.join("cache/archives/partial"))?;
        succeed(apt.apt_get().arg("update"))?;
        Ok(apt)
    }

    fn apt_get(&self) -> Command {
        let mut apt_get = Command::new("apt-get");
        let option = |name: &str, folder: &str| format!("{name}={}", self.folder.join(folder).display());
        apt_get
            .current_dir(&self.folder)
            .args(["-qq", "-o", "Debug::NoLocking=1", "-o", "APT::Sandbox::User=root"])
            .args([
                "-o",
                &option("Dir::State::lists", "lists"),
                "-o",
                &option("Dir::Cache", "cache"),
            ]);
        apt_get
    }

    /// Archives of packages and of what they need and the system has not.
    fn download_with_dependencies(&self, packages: &[&str]) -> Result<Vec<PathBuf>, Failure> {
        succeed(
            self.apt_get()
                .args(["install", "-y", "--download-only", "--no-install-recommends"])
                .args(packages),
        )?;
        archives(&self.folder.join("cache/archives"))
    }

    /// The archive of one package.
    fn download(&self, package: &str) -> Result<PathBuf, Failure> {
        succeed(self.apt_get().args(["download", package]))?;
        archives(&self.folder)?
            .pop()
            .ok_or_else(|| format!("no archive of {package} came").into())
    }
}

fn archives(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let entries = fs::read_dir(folder)?.flatten().map(|entry| entry.path());
    Ok(entries
        .filter(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .collect())
}

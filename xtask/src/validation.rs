//! The GPU tests under Vulkan's validation layers, synchronisation validation included.

use std::fs;
use std::process::ExitCode;

use crate::{Failure, adapters, cargo, root, succeed, test};

/// Debian's package of the layers.
const LAYERS: &str = "vulkan-validationlayers";

/// `cargo xtask validation`.
pub fn run() -> Result<ExitCode, Failure> {
    provide()?;
    let environment = test::adapters()?;
    let folder = root().join("target/validation");
    fs::create_dir_all(&folder)?;
    let log = folder.join("log.txt");
    if log.exists() {
        fs::remove_file(&log)?;
    }
    let settings = format!(
        "khronos_validation.debug_action = VK_DBG_LAYER_ACTION_LOG_MSG\n\
         khronos_validation.report_flags = error,warn,perf,info\n\
         khronos_validation.log_filename = {}\n\
         khronos_validation.enables = VK_VALIDATION_FEATURE_ENABLE_SYNCHRONIZATION_VALIDATION_EXT\n\
         khronos_validation.enable_message_limit = FALSE\n",
        log.display()
    );
    fs::write(folder.join("vk_layer_settings.txt"), settings)?;

    let mut tests = cargo();
    tests
        .args(["test", "--package", "wgpu-dropout", "--all-features", "--test", "gpu"])
        .args(["--", "--include-ignored"])
        .envs(environment)
        // What it names need not be Vulkan's.
        .env_remove("WGPU_DROPOUT_ADAPTERS")
        .env("WGPU_BACKEND", "vulkan")
        .env("WGPU_VALIDATION", "1")
        // Else shaders name their language by a number that Debian's layers don't know yet, and refuse.
        .env("WGPU_DEBUG", "0")
        .env("VK_LAYER_SETTINGS_PATH", &folder);
    succeed(&mut tests)?;

    let messages = fs::read_to_string(&log).map_err(|error| format!("no log of the layers: {error}"))?;
    match judged(&messages) {
        Ok(()) => {
            println!(
                "xtask: the validation layers were there and had nothing to say: {}",
                log.display()
            );
            Ok(ExitCode::SUCCESS)
        }
        Err(why) => Err(format!("{why}; all of it is in {}", log.display()).into()),
    }
}

fn provide() -> Result<(), Failure> {
    let folders = ["/usr/share/vulkan/explicit_layer.d", "/etc/vulkan/explicit_layer.d"];
    let is_there = || {
        folders
            .iter()
            .any(|folder| adapters::holds(folder, "VkLayer_khronos_validation"))
    };
    if !is_there() && adapters::is_debian() && adapters::is_root() {
        adapters::install(&[LAYERS])?;
    }
    if is_there() {
        return Ok(());
    }
    Err(format!("no Vulkan validation layers found. Install them; on Debian: apt-get install {LAYERS}").into())
}

/// What the layers said: that they were there, and nothing else.
fn judged(messages: &str) -> Result<(), String> {
    if !messages.contains("ENABLE_SYNCHRONIZATION_VALIDATION") {
        return Err("the layers did not say that they were there, with synchronisation validation".to_owned());
    }
    let kinds = [
        "Validation Error",
        "Validation Warning",
        "Validation Performance Warning",
    ];
    let mut found = messages
        .lines()
        .filter(|line| kinds.iter().any(|kind| line.contains(kind)));
    match found.next() {
        None => Ok(()),
        Some(first) => Err(format!("{} messages, the first: {first}", 1 + found.count())),
    }
}

#[cfg(test)]
mod tests {
    use super::judged;

    #[test]
    fn silence_counts_where_the_layers_were_there() {
        let there =
            "Validation Information: Current Enables: VK_VALIDATION_FEATURE_ENABLE_SYNCHRONIZATION_VALIDATION.\n";
        assert!(judged(there).is_ok());
        assert!(judged("").is_err());
        for message in [
            "SYNC-HAZARD-WRITE-AFTER-WRITE(ERROR / SPEC): msgNum: 1 - Validation Error: [ SYNC-HAZARD ] a hazard\n",
            "x(WARN / PERF): msgNum: 1 - Validation Performance Warning: [ x ] slow\n",
        ] {
            let why = judged(&format!("{there}{message}{message}")).expect_err("a finding");
            assert!(why.starts_with("2 messages"), "{why}");
        }
    }
}

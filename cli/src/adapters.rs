//! The adapters that an option of the command line names.

use wgpu_dropout::gpu::blocking::{self, ContextError};
use wgpu_dropout::wgpu;

/// Those whose name contains `wanted`, in any case, or all of them; at least one.
pub fn matching(wanted: &str) -> Result<Vec<wgpu::Adapter>, ContextError> {
    let all = blocking::adapters()?;
    let found = all.iter().map(|adapter| adapter.get_info().name).collect();
    let lower = wanted.to_lowercase();
    let chosen: Vec<_> = all
        .into_iter()
        .filter(|adapter| lower == "all" || adapter.get_info().name.to_lowercase().contains(&lower))
        .collect();
    if chosen.is_empty() {
        return Err(ContextError::NoAdapter {
            wanted: (lower != "all").then(|| wanted.to_owned()),
            found,
        });
    }
    Ok(chosen)
}

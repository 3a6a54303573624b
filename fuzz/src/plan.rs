//! Any variant, length and limits: windows that are all of the tensor, in order, within the limits, or an error.

use std::sync::LazyLock;

use arbitrary::Arbitrary;
use wgpu_dropout::MaskFormat;
use wgpu_dropout::gpu::Variant;
use wgpu_dropout::gpu::plan::{PlanLimits, plan};
use wgpu_dropout::gpu::variant::{Extent, TileSize};

static VARIANTS: LazyLock<Vec<Variant>> = LazyLock::new(|| Variant::all().collect());

#[derive(Arbitrary)]
struct Input {
    variant: u16,
    elements: u64,
    max_binding_bytes: u64,
    alignment: u8,
    max_workgroups_per_dimension: u32,
    workgroup_size: u32,
}

/// Runs it on bytes; a panic is a finding.
pub fn check(bytes: &[u8]) {
    let Some(input) = crate::taken::<Input>(bytes) else {
        return;
    };
    let variant = VARIANTS[usize::from(input.variant) % VARIANTS.len()];
    let limits = PlanLimits {
        max_binding_bytes: input.max_binding_bytes,
        offset_alignment: 1 << (input.alignment % 20),
        max_workgroups_per_dimension: input.max_workgroups_per_dimension,
        workgroup_size: input.workgroup_size,
    };
    let Ok(windows) = plan(variant, input.elements, limits) else {
        return;
    };
    // A word of a bit mask is one dispatch's.
    let unit = if variant.store == Some(MaskFormat::Bits) {
        32
    } else {
        16
    };
    let tile = match (variant.tile, variant.tensor) {
        (TileSize::Bytes16, Some(tensor)) => 16 / tensor.dtype.bytes() as u32,
        _ => unit,
    };
    let mut next = 0;
    // All of them, or as many as can be looked at.
    for window in windows.take(1000) {
        assert_eq!(window.first, next);
        assert!(window.elements > 0);
        let mut done = 0u64;
        for dispatch in window.dispatches.into_iter().flatten() {
            let [x, y] = dispatch.workgroups;
            assert!(x > 0 && y > 0);
            assert!(x <= limits.max_workgroups_per_dimension && y <= limits.max_workgroups_per_dimension);
            assert!(u64::from(dispatch.elements) > done);
            if dispatch.extent == Extent::Whole && variant.tensor.is_some() {
                assert_eq!(dispatch.elements % unit, 0);
            }
            let tile = if dispatch.extent == Extent::Whole { tile } else { unit };
            assert_eq!(u64::from(dispatch.first_invocation) * u64::from(tile), done);
            let invocations = u128::from(x) * u128::from(y) * u128::from(limits.workgroup_size.max(1));
            let covered = u128::from(done) + invocations * u128::from(tile);
            assert!(covered >= u128::from(dispatch.elements));
            done = dispatch.elements.into();
        }
        assert_eq!(done, u64::from(window.elements));
        next += u64::from(window.elements);
        assert!(next <= input.elements);
    }
}

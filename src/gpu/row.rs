//! Where the rows of a window lie, as the shader reads it. Shader twin: `shaders/fused/row.wgsl`, held equal by a test.

use bytemuck::{Pod, Zeroable};

/// Columns of a row, and which neighbours there are.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub(crate) struct Row {
    columns: u32,
    start: u32,
    has_bias: u32,
    has_residual: u32,
    always_zero: u32,
}

impl Row {
    /// Of a window that starts at local element `first`; `columns` are those of the bias, if there is one.
    pub(crate) fn new(columns: Option<u64>, has_residual: bool, first: u64) -> Self {
        // Without a bias nobody asks for columns, but all divide by them.
        let divisor = columns.unwrap_or(u64::from(u32::MAX)).max(1);
        Self {
            // A bias fits into one binding, and so its columns into 32 bits.
            columns: divisor as u32,
            start: if columns.is_some() { (first % divisor) as u32 } else { 0 },
            has_bias: columns.is_some().into(),
            has_residual: has_residual.into(),
            always_zero: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::layout;

    #[test]
    fn host_and_shader_layouts_agree() {
        let (shader, span) = layout::of_struct(include_str!("../../shaders/fused/row.wgsl"), "Row");
        assert_eq!(
            shader,
            layout::host!(Row: columns start has_bias has_residual always_zero)
        );
        assert_eq!(span, size_of::<Row>());
    }
}

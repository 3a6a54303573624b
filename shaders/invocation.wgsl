// SPDX-License-Identifier: MIT OR Apache-2.0
// The number of an invocation in its window. A dispatch is folded into two dimensions, since one ends
// at 65,535 workgroups; the last row may overshoot. Expects params.

override workgroup_size: u32 = 64u;

fn invocation_index(workgroup: vec3<u32>, workgroups: vec3<u32>, local: u32) -> u32 {
    return params.first_invocation + (workgroup.y * workgroups.x + workgroup.x) * workgroup_size + local;
}

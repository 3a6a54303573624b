// What a memory pass costs at best: vectors of 16 bytes, four or one an invocation.
@group(0) @binding(0) var<storage, read> x: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4<u32>>;
override workgroup_size: u32 = 64u;
override contiguous: bool = true;
@compute @workgroup_size(workgroup_size)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(num_workgroups) workgroups: vec3<u32>,
        @builtin(local_invocation_index) local: u32) {
    let i = (workgroup.y * workgroups.x + workgroup.x) * workgroup_size + local;
    if contiguous {
        let first = i * 4u;
        if first + 3u < arrayLength(&x) {
            let a = x[first]; let b = x[first + 1u]; let c = x[first + 2u]; let d = x[first + 3u];
            y[first] = a; y[first + 1u] = b; y[first + 2u] = c; y[first + 3u] = d;
        } else {
            for (var j = first; j < arrayLength(&x); j += 1u) { y[j] = x[j]; }
        }
    } else if i < arrayLength(&x) {
        y[i] = x[i];
    }
}

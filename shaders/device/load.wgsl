// SPDX-License-Identifier: MIT OR Apache-2.0
// Fills the parameters of a call's dispatches from what lies in buffers: seed and subsequence, and where the length
// too is known on the GPU only, how many elements and workgroups. Twin of the latter: plan in src/gpu/plan.rs.
// Host side: `Slot` in src/gpu/device_call.rs; a test holds the two layouts equal. Expects params.wgsl.

const AS_PLANNED: u32 = 0u;  // the length is the host's
const WHOLE: u32 = 1u;       // whole tiles of a window
const TAIL: u32 = 2u;        // what is left of it
const ANY: u32 = 3u;         // all of it, whatever its length

struct Slot {
    params: Params,
    added: vec2<u32>,         // to the subsequence: low, high
    window_first: vec2<u32>,  // first element of the window: low, high
    window_elements: u32,
    elements_per_invocation: u32,
    unit: u32,                // elements that whole tiles are a multiple of
    workgroup_size: u32,
    max_workgroups: u32,      // in one dimension
    extent: u32,
    workgroups: array<u32, 3>,
    reserved: array<u32, 35>,
}

@group(0) @binding(0) var<storage, read> state: array<u32>;   // seed low, high, subsequence low, high
@group(0) @binding(1) var<storage, read> length: array<u32>;  // elements of the tensor
@group(0) @binding(2) var<storage, read_write> slots: array<Slot>;

fn divided_up(a: u32, b: u32) -> u32 {
    return a / b + select(0u, 1u, a % b != 0u);
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let n = id.x;
    if n >= arrayLength(&slots) {
        return;
    }
    let added = slots[n].added;
    let low = state[2] + added.x;
    slots[n].params.seed = vec2<u32>(state[0], state[1]);
    slots[n].params.subsequence = vec2<u32>(low, state[3] + added.y + select(0u, 1u, low < added.x));
    let extent = slots[n].extent;
    if extent == AS_PLANNED {
        return;
    }

    let first = slots[n].window_first;
    let left = select(0u, length[0] - first.x, first.y == 0u && length[0] > first.x);
    let elements = min(left, slots[n].window_elements);
    let whole = elements - elements % slots[n].unit;
    let begin = select(0u, whole, extent == TAIL);
    let end = select(elements, whole, extent == WHOLE);
    slots[n].params.first_invocation = begin / slots[n].elements_per_invocation;
    slots[n].params.elements = end;

    let invocations = divided_up(end - begin, slots[n].elements_per_invocation);
    let needed = divided_up(invocations, slots[n].workgroup_size);
    let rows = max(divided_up(needed, slots[n].max_workgroups), 1u);
    slots[n].workgroups = array<u32, 3>(divided_up(needed, rows), rows, 1u);
}

//! How a driver's kernel comes to its workgroup, to its buffers and to workgroup memory: what differs between drivers. A descriptor or
//! an address is a handle here, by which the buffer is found again.

use crate::machine::{Grid, LANES, Lanes, Workgroup};
use crate::nir::{Instruction, Operand, Program};
use crate::vulkan::Kind;

/// Marks of handles, in the upper bits.
const BUFFER: u64 = 0xb000_0000;
const SET: u64 = 0xa000_0000;
const WORKGROUPS: u64 = 0xd000_0000;
const DRIVERS_OWN: u64 = 0xf000_0000;
const MARK: u64 = 0xf000_0000;

/// The binding of the seeds: the one buffer whose length a kernel of the recipes asks for.
const SEEDS: (u32, u32) = (0, 8);

fn handle((set, binding): (u32, u32)) -> u64 {
    BUFFER | u64::from(set) << 16 | u64::from(binding)
}

fn of_handle(handle: u64, instruction: &Instruction) -> (u32, u32) {
    assert_eq!(handle & MARK, BUFFER, "no buffer: {}", instruction.line);
    ((handle >> 16 & 0xfff) as u32, (handle & 0xffff) as u32)
}

/// The buffer at a place of a set.
fn at_place(grid: &Grid<'_>, (set, place): (u32, u32), instruction: &Instruction) -> (u32, u32) {
    let binding = grid.places.get(&(set, place));
    (
        set,
        *binding.unwrap_or_else(|| panic!("nothing there: {}", instruction.line)),
    )
}

/// What is at that place, or zero past the end, as robust accesses have it.
fn word(buffer: &[u8], at: usize) -> u64 {
    let bytes = buffer.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
    u32::from_le_bytes(bytes.unwrap_or_default()).into()
}

fn put(buffer: &mut [u8], at: usize, word: u64) {
    if let Some(bytes) = buffer.get_mut(at..at + 4) {
        bytes.copy_from_slice(&(word as u32).to_le_bytes());
    }
}

/// What a driver's text says beside its operations.
pub struct Conventions {
    kind: Kind,
    /// RADV: arguments that point to descriptor sets, in the sets' order, and the one that the workgroup's y is in. ANV: where
    /// the number of workgroups is.
    sets: Vec<u64>,
    of_y: Option<u64>,
    of_workgroups: Option<u64>,
    /// NVK: constant buffers that hold a uniform, not descriptors, in the order in which they are read, each with whether it is
    /// read past the rows' uniform.
    uniforms: Vec<(u64, bool)>,
}

/// Bytes of `Row` in `shaders/fused/row.wgsl`, which is shorter than any other uniform.
const ROW_BYTES: u64 = 24;

impl Conventions {
    pub fn new(kind: Kind, program: &Program) -> Self {
        let named = |name| program.instructions().filter(move |one| one.operation == name);
        let width = |one: &Instruction| one.result.map_or(0, |result| program.shapes[result].components);
        let base = |one: &Instruction| one.constant("base");

        let scalars = || named("@load_scalar_arg_amd").filter(|one| width(one) == 1);
        // A workgroup's y and z are 16 bits each.
        let of_y = scalars()
            .find(|one| one.constant("arg_upper_bound_u32_amd") == 0xffff)
            .map(base);
        let mut sets: Vec<_> = scalars()
            .map(base)
            .filter(|&at| of_y.is_none_or(|of_y| at + 1 < of_y))
            .collect();
        sets.sort_unstable();
        sets.dedup();

        let packed: Vec<_> = program
            .instructions()
            .filter(|one| one.operation.starts_with("pack_64"))
            .flat_map(|one| one.operands.iter().map(|operand| operand.value))
            .collect();
        let mut uniforms: Vec<(u64, bool)> = Vec::new();
        for load in named("@ldc_nv") {
            let buffer = program.constants[&load.operands[0].value][0];
            let same = |one: &&Instruction| program.constants[&one.operands[0].value][0] == buffer;
            let has_descriptors = named("@ldc_nv")
                .filter(same)
                .any(|one| one.result.is_some_and(|result| packed.contains(&result)));
            if buffer != 0 && !has_descriptors && uniforms.iter().all(|(other, _)| *other != buffer) {
                let is_long = named("@ldc_nv").filter(same).any(|one| base(one) >= ROW_BYTES);
                uniforms.push((buffer, is_long));
            }
        }
        Self {
            kind,
            sets,
            of_y,
            of_workgroups: named("@load_inline_data_intel")
                .filter(|one| width(one) == 3)
                .map(base)
                .max(),
            uniforms,
        }
    }

    /// The uniform in a constant buffer of NVK's: the parameters are read first, by every kernel.
    fn uniform(&self, buffer: u64, grid: &Grid<'_>) -> Option<(u32, u32)> {
        let at = self.uniforms.iter().position(|(uniform, _)| *uniform == buffer)?;
        let [map, row] = [(0, 4), (0, 7)];
        Some(if at == 0 {
            if grid.buffers.contains_key(&(1, 0)) {
                (1, 0)
            } else {
                (0, 0)
            }
        } else if grid.buffers.contains_key(&map) && (self.uniforms[at].1 || !grid.buffers.contains_key(&row)) {
            map
        } else {
            row
        })
    }

    /// Does an intrinsic.
    pub fn intrinsic(&self, group: &mut Workgroup<'_>, grid: &mut Grid<'_>, one: &Instruction) {
        let [x, y] = group.id.map(u64::from);
        let workgroups = [grid.workgroups[0].into(), grid.workgroups[1].into(), 1];
        match one.operation.as_str() {
            "@barrier" => {
                let is_for_all = one.constants["execution_scope"] == "WORKGROUP";
                assert!(!is_for_all || group.together, "not all reach it: {}", one.line);
            }
            "@load_workgroup_id" => group.set_all(one, &[x, y, 0]),
            "@load_base_workgroup_id" => group.set_all(one, &[0; 3]),
            "@load_num_workgroups" => group.set_all(one, &workgroups),
            "@load_local_invocation_id" => {
                group.set_all(one, &[0; 3]);
                group.set(one, 0, |lane| lane as u64);
            }
            "@load_shared" | "@load_shared_nv" => {
                let at = self.shared_address(group, &one.operands, one);
                for component in 0..group.result_components(one) {
                    let words = at.map(|at| word(&group.memory, at as usize + 4 * component));
                    group.set(one, component, |lane| words[lane]);
                }
            }
            "@store_shared" | "@store_shared_nv" => {
                let at = self.shared_address(group, &one.operands[1..], one);
                for component in 0..group.components(&one.operands[0]) {
                    let words = *group.lanes(&one.operands[0], component);
                    for lane in group.active.clone() {
                        put(&mut group.memory, at[lane] as usize + 4 * component, words[lane]);
                    }
                }
            }
            "@load_ssbo" | "@load_ssbo_intel" | "@load_ubo" | "@load_ubo_uniform_block_intel" => {
                if group.lanes(&one.operands[0], 0)[group.active[0]] == DRIVERS_OWN {
                    // ANV's constants: how long the buffer is whose length is asked for. From Battlemage on it's worked out of four words.
                    assert_eq!(group.result_components(one), 1, "unknown: {}", one.line);
                    return group.set_all(one, &[grid.buffers[&SEEDS].len() as u64]);
                }
                let (buffers, at) = place(group, &one.operands[0], &one.operands[1], one);
                load(group, grid, one, &buffers, &at);
            }
            "@store_ssbo" | "@store_ssbo_intel" => {
                let whole = "xyzw".get(..group.components(&one.operands[0]));
                let mask = one.constants.get("wrmask").map(String::as_str);
                assert!(mask.is_none() || mask == whole, "not all components: {}", one.line);
                let (buffers, at) = place(group, &one.operands[1], &one.operands[2], one);
                store(group, grid, one, &buffers, &at);
            }
            "@get_ssbo_size" => {
                let buffer = of_handle(group.uniform(&one.operands[0], 0), one);
                let length = grid.buffers[&buffer].len() as u64;
                group.set_all(one, &[length]);
            }
            _ => match self.kind {
                Kind::Radv => self.radv(group, grid, one, [x, y], workgroups),
                Kind::Anv => self.anv(group, one, workgroups),
                Kind::Nvk => self.nvk(group, grid, one, [x, y], workgroups),
                Kind::Turnip => turnip(group, grid, one),
            },
        }
    }

    /// Offsets into workgroup memory; NVK has a second one.
    fn shared_address(&self, group: &Workgroup<'_>, offsets: &[Operand], one: &Instruction) -> [u64; LANES] {
        let second = match (self.kind, offsets) {
            (Kind::Nvk, [_, second]) => *group.lanes(second, 0),
            _ => [0; LANES],
        };
        let (first, shift, base) = (
            group.lanes(&offsets[0], 0),
            one.constant("offset_shift_nv"),
            one.constant("base"),
        );
        let at = |lane: usize| (first[lane] << shift).wrapping_add(second[lane]).wrapping_add(base) & 0xffff_ffff;
        std::array::from_fn(at)
    }

    fn radv(
        &self,
        group: &mut Workgroup<'_>,
        grid: &Grid<'_>,
        one: &Instruction,
        [x, y]: [u64; 2],
        workgroups: [u64; 3],
    ) {
        let base = one.constant("base");
        match one.operation.as_str() {
            "@mbcnt_amd" => {
                let (mask, before) = (*group.lanes(&one.operands[0], 0), *group.lanes(&one.operands[1], 0));
                group.set(one, 0, |lane| {
                    u64::from((mask[lane] & ((1 << lane) - 1)).count_ones()) + before[lane]
                });
            }
            "@inverse_ballot" => {
                let mask = *group.lanes(&one.operands[0], 0);
                group.set(one, 0, |lane| mask[lane] >> lane & 1);
            }
            "@load_vector_arg_amd" => group.set(one, 0, |lane| lane as u64),
            // Registers that GFX12 has the workgroup's place in.
            "@load_ttmp_register_amd" if base == 9 => group.set_all(one, &[x]),
            "@load_ttmp_register_amd" if base == 7 => group.set_all(one, &[y]),
            "@load_scalar_arg_amd" => match group.result_components(one) {
                3 => group.set_all(one, &workgroups),
                // Where they are.
                2 => group.set_all(one, &[WORKGROUPS, 0]),
                _ if self.of_y == Some(base) => group.set_all(one, &[y]),
                _ if self.of_y == Some(base + 1) => group.set_all(one, &[x]),
                _ => {
                    let set = self.sets.iter().position(|set| *set == base);
                    let set = set.unwrap_or_else(|| panic!("no set: {}", one.line));
                    group.set_all(one, &[SET | (set as u64) << 16]);
                }
            },
            "@load_global_amd" => {
                let pointer = group.uniform(&one.operands[0], 0) & 0xffff_ffff;
                let at = group.uniform(&one.operands[1], 0) + base;
                if pointer == WORKGROUPS {
                    return group.set_all(one, &workgroups);
                }
                assert!(pointer & MARK == SET && at % 16 == 0, "no descriptor: {}", one.line);
                let set = (pointer >> 16 & 0xfff) as u32;
                // Of four words: the address in the first, the length in the third.
                for component in 0..group.result_components(one) {
                    let binding = at_place(grid, (set, at as u32 / 16 + component as u32 / 4), one);
                    let length = grid.buffers.get(&binding).map_or(0, Vec::len) as u64;
                    let descriptor = [handle(binding), 0, length, 0];
                    group.set(one, component, |_| descriptor[component % 4]);
                }
            }
            _ => panic!("unknown: {}", one.line),
        }
    }

    fn anv(&self, group: &mut Workgroup<'_>, one: &Instruction, workgroups: [u64; 3]) {
        match one.operation.as_str() {
            "@resource_intel" if one.constants["binding"] == "-1" => group.set_all(one, &[DRIVERS_OWN]),
            "@resource_intel" => {
                let [set, binding] = ["desc_set", "binding"].map(|name| one.constant(name) as u32);
                group.set_all(one, &[handle((set, binding))]);
            }
            "@load_inline_data_intel" if self.of_workgroups == Some(one.constant("base")) => {
                group.set_all(one, &workgroups);
            }
            // The first workgroup, and where constants are.
            "@load_inline_data_intel" => group.set_all(one, &[0; 3]),
            "@load_reloc_const_intel" => group.set_all(one, &[0]),
            _ => panic!("unknown: {}", one.line),
        }
    }

    fn nvk(
        &self,
        group: &mut Workgroup<'_>,
        grid: &mut Grid<'_>,
        one: &Instruction,
        [x, y]: [u64; 2],
        workgroups: [u64; 3],
    ) {
        let base = one.constant("base");
        match one.operation.as_str() {
            "@bar_set_nv" => group.set_all(one, &[0]),
            "@bar_sync_nv" | "@pin_cx_handle_nv" | "@unpin_cx_handle_nv" => {}
            "@load_sysval_nv" => match base {
                33 => group.set(one, 0, |lane| lane as u64),
                37 => group.set_all(one, &[x]),
                38 => group.set_all(one, &[y]),
                _ => panic!("unknown: {}", one.line),
            },
            "@ldc_nv" => {
                let buffer = group.uniform(&one.operands[0], 0);
                let uniform = self.uniform(buffer, grid);
                let offsets = *group.lanes(&one.operands[1], 0);
                for component in 0..group.result_components(one) {
                    let at = offsets.map(|at| (at.wrapping_add(base) as usize & 0xffff_ffff) + 4 * component);
                    let value = |lane: usize| match uniform {
                        Some(uniform) => word(&grid.buffers[&uniform], at[lane]),
                        // The first workgroup, and how many there are.
                        None if buffer == 0 => [0, 0, 0, workgroups[0], workgroups[1], 1][at[lane] / 4],
                        // An address and a length; of storage buffers in the first set.
                        None => {
                            let binding = at_place(grid, (0, at[lane] as u32 / 16), one);
                            let length = grid.buffers.get(&binding).map_or(0, Vec::len) as u64;
                            [0, handle(binding), length, 0][at[lane] / 4 % 4]
                        }
                    };
                    group.set(one, component, value);
                }
            }
            "@ldcx_nv" => {
                let buffers = group.lanes(&one.operands[0], 0).map(|address| address >> 32);
                let at = group.lanes(&one.operands[1], 0).map(|at| at + base);
                load(group, grid, one, &buffers, &at);
            }
            // The driver compares with the length itself, and asks for nothing past it.
            "@load_global_nv" => {
                let (buffers, at, is_asked) = global_address(group, one, &one.operands);
                let active = group.active.clone();
                group.set_all(one, &[0; 4]);
                group.active.retain(|&lane| is_asked[lane]);
                load(group, grid, one, &buffers, &at);
                group.active = active;
            }
            "@store_global_nv" => {
                let (buffers, at, _) = global_address(group, one, &one.operands[1..]);
                store(group, grid, one, &buffers, &at);
            }
            _ => panic!("unknown: {}", one.line),
        }
    }
}

/// Handle and offset, which the sum of the 64-bit operands is, and whether the operand of a bit holds.
fn global_address(group: &Workgroup<'_>, one: &Instruction, operands: &[Operand]) -> (Lanes, Lanes, [bool; LANES]) {
    let (mut address, mut is_asked) = ([one.constant("base"); LANES], [true; LANES]);
    for operand in operands {
        let lanes = group.lanes(operand, 0);
        for (lane, &value) in lanes.iter().enumerate() {
            if group.program.shape(operand).bits == 1 {
                is_asked[lane] &= value & 1 == 1;
            } else {
                address[lane] = address[lane].wrapping_add(value);
            }
        }
    }
    let at = address.map(|address| address & 0xffff_ffff);
    (address.map(|address| address >> 32), at, is_asked)
}

fn turnip(group: &mut Workgroup<'_>, grid: &Grid<'_>, one: &Instruction) {
    match one.operation.as_str() {
        "@bindless_resource_ir3" => {
            let place = (
                one.constant("desc_set") as u32,
                group.uniform(&one.operands[0], 0) as u32,
            );
            group.set_all(one, &[handle(at_place(grid, place, one))]);
        }
        _ => panic!("unknown: {}", one.line),
    }
}

/// Handles, and offsets in bytes.
fn place(group: &Workgroup<'_>, buffer: &Operand, offset: &Operand, one: &Instruction) -> ([u64; LANES], [u64; LANES]) {
    let (shift, base) = (one.constant("offset_shift"), one.constant("base"));
    let at = group
        .lanes(offset, 0)
        .map(|at| ((at << shift) & 0xffff_ffff).wrapping_add(base));
    (*group.lanes(buffer, 0), at)
}

fn load(group: &mut Workgroup<'_>, grid: &Grid<'_>, one: &Instruction, buffers: &[u64; LANES], at: &[u64; LANES]) {
    for component in 0..group.result_components(one) {
        let value = |lane: usize| {
            let at = at[lane] as usize + 4 * component;
            assert_eq!(at % 4, 0, "{}", one.line);
            word(&grid.buffers[&of_handle(buffers[lane], one)], at)
        };
        group.set(one, component, value);
    }
}

fn store(group: &Workgroup<'_>, grid: &mut Grid<'_>, one: &Instruction, buffers: &[u64; LANES], at: &[u64; LANES]) {
    for component in 0..group.components(&one.operands[0]) {
        let words = group.lanes(&one.operands[0], component);
        for &lane in &group.active {
            let buffer = grid.buffers.get_mut(&of_handle(buffers[lane], one));
            let buffer = buffer.unwrap_or_else(|| panic!("not bound: {}", one.line));
            put(buffer, at[lane] as usize + 4 * component, words[lane]);
        }
    }
}

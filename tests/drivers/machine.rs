//! Runs NIR: a workgroup at a time, its invocations side by side, an operation at a time.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use crate::nir::{Instruction, Operand, Program};

/// Invocations of a workgroup.
pub const LANES: usize = 64;

/// A component in every invocation.
pub type Lanes = [u64; LANES];

/// Bytes of workgroup memory, more than any kernel has.
const WORKGROUP_BYTES: usize = 4096;

/// What a dispatch is given.
pub struct Grid<'a> {
    pub workgroups: [u32; 2],
    /// By set and binding.
    pub buffers: BTreeMap<(u32, u32), Vec<u8>>,
    /// The binding at each place of a set.
    pub places: &'a BTreeMap<(u32, u32), u32>,
    /// Whether subnormal numbers are taken for zero, and results that are become zero.
    pub flushes: bool,
}

/// A workgroup at work.
pub struct Workgroup<'a> {
    pub program: &'a Program,
    pub id: [u32; 2],
    values: Vec<Lanes>,
    pub memory: Vec<u8>,
    /// The invocations that are where the instruction is.
    pub active: Vec<usize>,
    /// Whether these are all that have not come to their end.
    pub together: bool,
}

/// Runs every workgroup. An intrinsic is what a driver makes of it.
pub fn run(
    program: &Program,
    grid: &mut Grid<'_>,
    intrinsic: impl Fn(&mut Workgroup<'_>, &mut Grid<'_>, &Instruction),
) {
    for y in 0..grid.workgroups[1] {
        for x in 0..grid.workgroups[0] {
            Workgroup::new(program, [x, y]).run(grid, &intrinsic);
        }
    }
}

impl<'a> Workgroup<'a> {
    fn new(program: &'a Program, id: [u32; 2]) -> Self {
        // What is not yet computed shows.
        let mut values = vec![[0xdead_beef_dead_beef; LANES]; program.components];
        for (value, constants) in &program.constants {
            for (component, &constant) in constants.iter().enumerate() {
                values[program.shapes[*value].first + component] = [constant; LANES];
            }
        }
        Self {
            program,
            id,
            values,
            memory: vec![0xa5; WORKGROUP_BYTES],
            active: Vec::new(),
            together: true,
        }
    }

    /// A component of an operand.
    pub fn lanes(&self, operand: &Operand, component: usize) -> &Lanes {
        let shape = self.program.shape(operand);
        let component = operand.swizzle.get(component).copied().unwrap_or(component);
        assert!(component < shape.components, "component {component} of {operand:?}");
        &self.values[shape.first + component]
    }

    /// A component that is the same in all invocations that are here.
    pub fn uniform(&self, operand: &Operand, component: usize) -> u64 {
        let lanes = self.lanes(operand, component);
        let value = lanes[self.active[0]];
        assert!(
            self.active.iter().all(|&lane| lanes[lane] == value),
            "{operand:?} differs"
        );
        value
    }

    /// How many components an instruction's operand is taken with.
    pub fn components(&self, operand: &Operand) -> usize {
        match operand.swizzle.len() {
            0 => self.program.shape(operand).components,
            taken => taken,
        }
    }

    /// Sets a component of a result where invocations are.
    pub fn set(&mut self, instruction: &Instruction, component: usize, value: impl Fn(usize) -> u64) {
        let result = instruction
            .result
            .unwrap_or_else(|| panic!("no result: {}", instruction.line));
        let shape = self.program.shapes[result];
        assert!(
            component < shape.components,
            "component {component}: {}",
            instruction.line
        );
        for &lane in &self.active {
            self.values[shape.first + component][lane] = value(lane);
        }
    }

    /// The same in every invocation; as many components as the result has.
    pub fn set_all(&mut self, instruction: &Instruction, values: &[u64]) {
        for (component, &value) in values.iter().enumerate().take(self.result_components(instruction)) {
            self.set(instruction, component, |_| value);
        }
    }

    pub fn result_components(&self, instruction: &Instruction) -> usize {
        instruction
            .result
            .map_or(0, |result| self.program.shapes[result].components)
    }

    fn run(&mut self, grid: &mut Grid<'_>, intrinsic: &impl Fn(&mut Workgroup<'_>, &mut Grid<'_>, &Instruction)) {
        let program = self.program;
        let first = program.blocks.keys().next().copied();
        let (mut at, mut from) = ([first; LANES], [None; LANES]);
        // The blocks are numbered as they are written: who is behind goes first, so that all meet where ways do.
        while let Some(here) = at.iter().copied().flatten().min() {
            let Some(block) = program.blocks.get(&here) else {
                // The end has a number, and no block.
                at = at.map(|at| at.filter(|at| *at != here));
                continue;
            };
            self.active = (0..LANES).filter(|&lane| at[lane] == Some(here)).collect();
            self.together = self.active.len() == at.iter().flatten().count();
            // All read before one is written.
            let mut chosen = Vec::new();
            for phi in &block.phis {
                let shape = program.shapes[phi.result];
                for &lane in &self.active {
                    let source = phi.sources.iter().find(|(block, _)| Some(*block) == from[lane]);
                    let (_, source) = source.unwrap_or_else(|| panic!("from {:?}: {phi:?}", from[lane]));
                    for component in 0..shape.components {
                        chosen.push((shape.first + component, lane, self.lanes(source, component)[lane]));
                    }
                }
            }
            for (component, lane, value) in chosen {
                self.values[component][lane] = value;
            }
            for instruction in &block.instructions {
                if instruction.operation.starts_with('@') {
                    intrinsic(self, grid, instruction);
                } else {
                    self.operate(instruction, grid.flushes);
                }
            }
            for &lane in &self.active {
                from[lane] = Some(here);
                at[lane] = match (&block.condition, &block.successors[..]) {
                    (_, []) => None,
                    (None, [next]) => Some(*next),
                    (Some(condition), [next, other]) => {
                        let holds = self.lanes(condition, 0)[lane] & 1 == 1;
                        Some(if holds { *next } else { *other })
                    }
                    (condition, successors) => panic!("b{here}: {condition:?} to {successors:?}"),
                };
            }
        }
    }

    fn operate(&mut self, instruction: &Instruction, flushes: bool) {
        let Some(result) = instruction.result else {
            panic!("no result: {}", instruction.line);
        };
        let (operands, shape) = (&instruction.operands, self.program.shapes[result]);
        match instruction.operation.as_str() {
            "undefined" => {}
            "pack_64_2x32" => {
                let [low, high] = [0, 1].map(|component| *self.lanes(&operands[0], component));
                self.set(instruction, 0, |lane| low[lane] | high[lane] << 32);
            }
            vector
                if vector
                    .strip_prefix("vec")
                    .is_some_and(|n| n.parse() == Ok(shape.components)) =>
            {
                for (component, operand) in operands.iter().enumerate() {
                    let lanes = *self.lanes(operand, 0);
                    self.set(instruction, component, |lane| lanes[lane]);
                }
            }
            operation => {
                let bits = operands.first().map_or(32, |operand| self.program.shape(operand).bits);
                let mask = u64::MAX >> (64 - shape.bits);
                for component in 0..shape.components {
                    let operands: Vec<_> = operands.iter().map(|one| *self.lanes(one, component)).collect();
                    self.set(instruction, component, |lane| {
                        let mut given = [0; 3];
                        given
                            .iter_mut()
                            .zip(&operands)
                            .for_each(|(given, lanes)| *given = lanes[lane]);
                        let value = computed(operation, bits, given, flushes);
                        value.unwrap_or_else(|| panic!("unknown: {}", instruction.line)) & mask
                    });
                }
            }
        }
    }
}

/// An operation on operands of so many bits, by its definition in Mesa's `nir_opcodes.py`; an f32 is its bits. Bits above the
/// result's are left for the caller to drop. `None` if the operation is not known.
fn computed(operation: &str, bits: u32, operands: [u64; 3], flushes: bool) -> Option<u64> {
    let [a, b, c] = operands;
    let [x, y, z] = operands.map(|operand| operand as u32);
    let [i, j] = [x, y].map(|operand| operand as i32);
    // A comparison's, as wide as the operands are.
    let signed = |operand: u64| (operand << (64 - bits)) as i64;
    let flushed = |f: f32| {
        if flushes && f.is_subnormal() {
            0.0f32.copysign(f)
        } else {
            f
        }
    };
    let [f, g, h] = [x, y, z].map(|operand| flushed(f32::from_bits(operand)));
    let float = |f: f32| u64::from(flushed(f).to_bits());
    let shift = y & (bits - 1);
    Some(match operation {
        "mov" | "u2u32" | "u2u64" => a,
        "b2i32" => a & 1,
        "bcsel" => [c, b][(a & 1) as usize],

        "iadd" => a.wrapping_add(b),
        "iadd3" => a.wrapping_add(b).wrapping_add(c),
        "isub" => a.wrapping_sub(b),
        "ineg" => a.wrapping_neg(),
        "imul" => a.wrapping_mul(b),
        "imad" => a.wrapping_mul(b).wrapping_add(c),
        "umul_high" => (u64::from(x) * u64::from(y)) >> 32,
        "umul_2x32_64" => u64::from(x) * u64::from(y),
        "lea_nv" => a.wrapping_add(b << (z & 63)),

        "ieq" => u64::from(a == b),
        "ine" => u64::from(a != b),
        "ult" => u64::from(a < b),
        "uge" => u64::from(a >= b),
        "ilt" => u64::from(signed(a) < signed(b)),
        "ige" => u64::from(signed(a) >= signed(b)),
        "umin" => a.min(b),
        "umax" => a.max(b),
        "imin" => u64::from(i.min(j) as u32),
        "imax" => u64::from(i.max(j) as u32),

        "iand" => a & b,
        "ior" => a | b,
        "ixor" => a ^ b,
        "inot" => !a,
        "ishl" => a << shift,
        "ushr" => a >> shift,
        "ishr" => (signed(a) >> (64 - bits) >> shift) as u64,
        // Two words, shifted down together.
        "shfr" => (a << 32 | b) >> (z & 31),
        "bfm" => u64::from(((1u32 << (x & 31)) - 1) << (y & 31)),
        "bitfield_select" => (a & b) | (!a & c),
        "bitnz" => a >> shift & 1,
        "bitz" => !a >> shift & 1,
        "ubfe" => a >> (y & 31) & ((1 << (z & 31)) - 1),
        "extract_u8" => a >> (8 * y) & 0xff,
        "extract_u16" => a >> (16 * y) & 0xffff,
        "extract_i16" => (x >> (16 * y)) as i16 as u64,
        "insert_u16" => (a & 0xffff) << (16 * y),
        "uclz" => x.leading_zeros().into(),
        "ufind_msb" => 31u32.wrapping_sub(x.leading_zeros()).into(),
        "pack_64_2x32_split" => a | b << 32,
        "unpack_64_2x32_split_x" => a & 0xffff_ffff,
        "unpack_64_2x32_split_y" => a >> 32,

        "fadd" => float(f + g),
        "fsub" => float(f - g),
        "fmul" => float(f * g),
        "ffma" => float(f.mul_add(g, h)),
        "fmin" => float(f.min(g)),
        "fabs" => float(f.abs()),
        "fneg" => float(-f),
        "fsat" => float(if f > 0.0 { f.min(1.0) } else { 0.0 }),
        "frcp" => float(f.recip()),
        "feq" => u64::from(f.partial_cmp(&g) == Some(Ordering::Equal)),
        "f2u32" => u64::from(f as u32),
        "u2f32" => float(x as f32),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Doubles what is below 40 until it is not, in a loop that each invocation leaves by itself; then all meet.
    const LOOP: &str = "shader: MESA_SHADER_COMPUTE
decl_function main () (entrypoint)

impl main {
    con block b0:  // preds:
    con 32     %0 = load_const (0x00000028 = 40)
    con 32     %1 = load_const (0x00000001 = 0.000000)
    div 32     %2 = @lane
    div 32     %3 = iadd %2, %1 (0x1)
                   // succs: b1
    loop {
        div block b1:  // preds: b0 b4
        div 32     %4 = phi b0: %3, b4: %6
        div 1      %5 = uge %4, %0 (0x28)
                       // succs: b2 b3
        if %5 {
            div block b2:  // preds: b1
            break
            // succs: b5
        } else {
            div block b3:  // preds: b1, succs: b4
        }
        div block b4:  // preds: b3
        div 32     %6 = ishl.nuw %4, %1 (0x1)
                       // succs: b1
    }
    con block b5:  // preds: b2
    con 32x2   %7 = load_const (0x00000007, 0x00000009) = (0.000000, 0.000000)
    div 32x2   %8 = vec2 %4, %7.y
                   @together (%8.yx) (base=3)
                   // succs: b6
    block b6:
}
";

    #[test]
    fn each_invocation_leaves_a_loop_by_itself_and_all_meet() {
        let program = Program::parse(LOOP);
        let mut grid = Grid {
            workgroups: [2, 1],
            buffers: BTreeMap::from([((0, 0), Vec::new())]),
            places: &BTreeMap::new(),
            flushes: false,
        };
        run(&program, &mut grid, |group, grid, instruction| {
            match instruction.operation.as_str() {
                "@lane" => group.set(instruction, 0, |lane| lane as u64),
                "@together" => {
                    assert!(group.together && instruction.constant("base") == 3);
                    let operand = &instruction.operands[0];
                    assert_eq!(group.uniform(operand, 0), 9);
                    let seen = group.lanes(operand, 1).map(|value| value as u8);
                    grid.buffers.values_mut().for_each(|buffer| buffer.extend(seen));
                }
                other => panic!("{other}"),
            }
        });
        let doubled = |lane: u8| {
            (0..8)
                .map(|n| u32::from(lane + 1) << n)
                .find(|value| *value >= 40)
                .unwrap() as u8
        };
        let once: Vec<_> = (0..LANES as u8).map(doubled).collect();
        assert_eq!(grid.buffers[&(0, 0)], [once.clone(), once].concat());
    }

    #[test]
    fn operations_are_what_mesa_defines() {
        let word = |operation, operands| computed(operation, 32, operands, false).unwrap() & 0xffff_ffff;
        assert_eq!(word("iadd", [u32::MAX.into(), 2, 0]), 1);
        assert_eq!(word("ineg", [1, 0, 0]), 0xffff_ffff);
        assert_eq!(word("umul_high", [0xd251_1f53, 0xffff_ffff, 0]), 0xd251_1f52);
        assert_eq!(word("ishl", [1, 33, 0]), 2);
        assert_eq!(word("ishr", [0x8000_0000, 33, 0]), 0xc000_0000);
        assert_eq!(word("ilt", [0xffff_ffff, 0, 0]), 1);
        assert_eq!(word("imax", [0xffff_ffff, 5, 0]), 5);
        assert_eq!(word("shfr", [1, 0x8000_0000, 31]), 3);
        assert_eq!(word("ubfe", [0xabcd, 4, 8]), 0xbc);
        assert_eq!(word("bfm", [3, 4, 0]), 0x70);
        assert_eq!(word("ufind_msb", [0, 0, 0]), 0xffff_ffff);
        assert_eq!(word("extract_i16", [0x8000_0000, 1, 0]), 0xffff_8000);
        assert_eq!(computed("bitz", 64, [1 << 40, 40, 0], false).unwrap() & 1, 0);
        assert_eq!(computed("ffma4", 32, [0; 3], false), None);

        let float = |operation, operands: [f32; 3], flushes| {
            let bits = operands.map(|operand| u64::from(operand.to_bits()));
            f32::from_bits(computed(operation, 32, bits, flushes).unwrap() as u32)
        };
        let least = f32::from_bits(1);
        assert_eq!(float("fadd", [least, 0.0, 0.0], false).to_bits(), 1);
        assert_eq!(float("fadd", [-least, -0.0, 0.0], true).to_bits(), 0x8000_0000);
        assert_eq!(float("fmul", [f32::MIN_POSITIVE, 0.5, 0.0], true).to_bits(), 0);
        assert_eq!(float("fsat", [f32::NAN, 0.0, 0.0], false).to_bits(), 0);
        // Rounded once.
        let just_above = f32::from_bits(0x3f80_0001);
        let once = float("ffma", [just_above, just_above, -f32::from_bits(0x3f80_0002)], false);
        assert_eq!(once.to_bits(), 2.0f32.powi(-46).to_bits());
    }
}

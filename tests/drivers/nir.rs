//! NIR as Mesa prints it, read: blocks of operations on values that are assigned once.
//!
//! ```text
//! div 32x4  %86 = @load_ssbo (%22, %85) (access=readonly, align_mul=16)
//! con 32    %44 = umul_high %42 (0xcd9e8d57), %43.z
//! ```
//!
//! The bits of a component and how many there are, the value, the operation, what it takes; an intrinsic's constants are named.
//! What is not understood ends the test with the line: a new version of Mesa may print what those before did not.

use std::collections::BTreeMap;

/// A value, or some of its components.
#[derive(Clone, Debug)]
pub struct Operand {
    pub value: usize,
    /// The components taken, all where there are none.
    pub swizzle: Vec<usize>,
}

#[derive(Clone, Debug)]
pub struct Instruction {
    pub operation: String,
    pub result: Option<usize>,
    pub operands: Vec<Operand>,
    /// The named constants of an intrinsic.
    pub constants: BTreeMap<String, String>,
    pub line: String,
}

impl Instruction {
    /// A constant that is a number; 0 where there is none.
    pub fn constant(&self, name: &str) -> u64 {
        let text = self.constants.get(name);
        text.map_or(0, |text| {
            text.parse().unwrap_or_else(|_| panic!("{name}: {}", self.line))
        })
    }
}

/// A value that is chosen by the block that was left.
#[derive(Clone, Debug)]
pub struct Phi {
    pub result: usize,
    pub sources: Vec<(u32, Operand)>,
}

#[derive(Clone, Debug, Default)]
pub struct Block {
    pub phis: Vec<Phi>,
    pub instructions: Vec<Instruction>,
    /// Where it goes on: if the condition holds, if not.
    pub successors: Vec<u32>,
    pub condition: Option<Operand>,
}

/// Bits of a component, components, and where the first of them is among all.
#[derive(Clone, Copy, Debug, Default)]
pub struct Shape {
    pub bits: u32,
    pub components: usize,
    pub first: usize,
}

#[derive(Debug, Default)]
pub struct Program {
    pub blocks: BTreeMap<u32, Block>,
    /// By value.
    pub shapes: Vec<Shape>,
    /// Components of all values.
    pub components: usize,
    pub constants: BTreeMap<usize, Vec<u64>>,
}

/// The parts of a list that is separated by commas, those in parentheses left out.
fn parts(list: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0;
    list.split(move |c| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        c == ',' && depth == 0
    })
    .map(str::trim)
    .filter(|part| !part.is_empty())
}

/// What is in the parentheses that the text starts with, and what follows them.
fn parenthesised(text: &str) -> Option<(&str, &str)> {
    let inside = text.trim_start().strip_prefix('(')?;
    let mut depth = 1;
    let end = inside.find(|c| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        depth == 0
    })?;
    Some((&inside[..end], &inside[end + 1..]))
}

fn block_number(label: &str) -> u32 {
    let number = label.strip_prefix('b').and_then(|number| number.parse().ok());
    number.unwrap_or_else(|| panic!("no block: {label}"))
}

impl Program {
    pub fn parse(text: &str) -> Self {
        let mut program = Self::default();
        let mut shapes = BTreeMap::new();
        let body = text.split_once("\nimpl ").expect("a function").1;
        assert!(!body.contains("\nimpl "), "one function:\n{text}");
        let mut current = 0;
        for line in body.lines().skip(1) {
            let line = line.trim();
            let line = ["con ", "div "]
                .iter()
                .find_map(|how| line.strip_prefix(how))
                .unwrap_or(line)
                .trim_start();
            if let Some(head) = line.strip_prefix("block ") {
                let (label, rest) = head.split_once(':').unwrap_or_else(|| panic!("{line}"));
                current = block_number(label);
                let block = program.blocks.entry(current).or_default();
                if let Some((_, successors)) = rest.split_once("succs:") {
                    block.successors = successors.split_whitespace().map(block_number).collect();
                }
                continue;
            }
            let Some(block) = program.blocks.get_mut(&current) else {
                continue;
            };
            let words: Vec<_> = line.split_whitespace().collect();
            match words[..] {
                ["//", "succs:", ref successors @ ..] => {
                    // A goto has said it in the order that counts.
                    if block.successors.is_empty() {
                        block.successors = successors.iter().map(|label| block_number(label)).collect();
                    }
                }
                ["if", condition, ..] => block.condition = Some(Operand::parse(condition, &shapes)),
                ["goto", to] => block.successors = vec![block_number(to)],
                ["goto", to, "if", condition, .., "else", other] => {
                    block.condition = Some(Operand::parse(condition, &shapes));
                    block.successors = vec![block_number(to), block_number(other)];
                }
                [] | ["}" | "loop" | "break" | "continue" | "return" | "halt" | "//", ..] => {}
                _ => program.statement(current, line, &mut shapes),
            }
        }
        let values = shapes.keys().last().map_or(0, |last| last + 1);
        program.shapes = vec![Shape::default(); values];
        for (value, (bits, components)) in shapes {
            program.shapes[value] = Shape {
                bits,
                components,
                first: program.components,
            };
            program.components += components;
        }
        program
    }

    fn statement(&mut self, block: u32, line: &str, shapes: &mut BTreeMap<usize, (u32, usize)>) {
        let (result, rest) = match line.split_once(" = ") {
            Some((head, rest)) if !line.starts_with('@') => {
                let (shape, value) = head.split_once(' ').unwrap_or_else(|| panic!("{line}"));
                let value = value.trim().strip_prefix('%').and_then(|value| value.parse().ok());
                let value = value.unwrap_or_else(|| panic!("no value: {line}"));
                let (bits, components) = shape.split_once('x').unwrap_or((shape, "1"));
                let shape = bits.parse().ok().zip(components.parse().ok());
                shapes.insert(value, shape.unwrap_or_else(|| panic!("no shape: {line}")));
                (Some(value), rest)
            }
            _ => (None, line),
        };
        let (operation, arguments) = rest.split_once(' ').unwrap_or((rest, ""));
        let block = self.blocks.entry(block).or_default();
        match (operation, result) {
            ("load_const", Some(value)) => {
                let (inside, _) = parenthesised(arguments).unwrap_or_else(|| panic!("{line}"));
                // In hexadecimal first, then as other types have it.
                let bits = inside.split('=').next().unwrap_or("");
                let numbers = parts(bits).map(|bits| match bits.strip_prefix("0x") {
                    Some(digits) => u64::from_str_radix(digits, 16).unwrap_or_else(|_| panic!("{line}")),
                    None => u64::from(bits == "true"),
                });
                self.constants.insert(value, numbers.collect());
            }
            ("phi", Some(result)) => {
                let sources = parts(arguments).map(|source| {
                    let (from, operand) = source.split_once(": ").unwrap_or_else(|| panic!("{line}"));
                    // Values of later blocks are taken whole.
                    (block_number(from), Operand::parse(operand, &BTreeMap::new()))
                });
                block.phis.push(Phi {
                    result,
                    sources: sources.collect(),
                });
            }
            _ => {
                let (mut operands, mut constants) = (Vec::new(), BTreeMap::new());
                if operation.starts_with('@') {
                    let mut rest = arguments;
                    while let Some((inside, others)) = parenthesised(rest) {
                        if inside.contains('%') {
                            operands.extend(parts(inside).map(|operand| Operand::parse(operand, shapes)));
                        } else {
                            let named = parts(inside).filter_map(|named| named.split_once('='));
                            constants.extend(named.map(|(name, value)| (name.to_owned(), value.to_owned())));
                        }
                        rest = others;
                    }
                } else {
                    let arguments = arguments.split("//").next().unwrap_or("");
                    operands.extend(parts(arguments).map(|operand| Operand::parse(operand, shapes)));
                }
                block.instructions.push(Instruction {
                    // Whether an addition may wrap makes no difference to what it does.
                    operation: operation.split('.').next().unwrap_or("").to_owned(),
                    result,
                    operands,
                    constants,
                    line: line.to_owned(),
                });
            }
        }
    }

    /// All instructions, in order.
    pub fn instructions(&self) -> impl Iterator<Item = &Instruction> {
        self.blocks.values().flat_map(|block| &block.instructions)
    }

    pub fn shape(&self, operand: &Operand) -> Shape {
        self.shapes[operand.value]
    }
}

impl Operand {
    /// `%12`, `%12.xz`, or either with the constant behind it that it is.
    fn parse(text: &str, shapes: &BTreeMap<usize, (u32, usize)>) -> Self {
        let name = text.split_whitespace().next().and_then(|name| name.strip_prefix('%'));
        let name = name.unwrap_or_else(|| panic!("no operand: {text}"));
        let (value, letters) = name.split_once('.').unwrap_or((name, ""));
        let value = value.parse().unwrap_or_else(|_| panic!("no operand: {text}"));
        // Vectors of more than four have other letters.
        let names = match shapes.get(&value) {
            Some((_, components)) if *components > 4 => "abcdefghijklmnop",
            _ => "xyzw",
        };
        let component = |letter| names.find(letter).unwrap_or_else(|| panic!("no component: {text}"));
        Self {
            value,
            swizzle: letters.chars().map(component).collect(),
        }
    }
}

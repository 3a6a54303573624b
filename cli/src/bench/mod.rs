//! `bench`: the kernels and the CPU path beside a pass that only moves the same bytes.

mod check;
mod cpu;
mod gpu;
mod plot;
mod report;
mod sample;

use std::error::Error;
use std::fmt;
use std::path::PathBuf;

use wgpu_dropout::gpu::blocking::ContextError;
use wgpu_dropout::{DType, Dropout, MaskFormat, Probability, ProbabilityError, RandomBits, wgpu};

use crate::adapters;
use crate::args::{Bench, BenchBackend, Op};
use crate::output::Output;
use crate::verify::bar;
use report::{Machine, Report, Row, Versions};

/// One measurement: every combination of what was asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Case {
    op: Op,
    dtype: DType,
    p: f64,
    random_bits: RandomBits,
    mask: Option<MaskFormat>,
    elements: u64,
}

impl Case {
    /// The draw that is timed: any seed and subsequence take as long.
    fn dropout(&self) -> Result<Dropout, ProbabilityError> {
        let probability = Probability::new(self.p, self.random_bits)?;
        Ok(Dropout::new(self.p, 42)?
            .with_probability(probability)
            .with_subsequence(7))
    }

    /// Bytes of one tensor; none where the mask alone is made.
    fn tensor_bytes(&self) -> u64 {
        match self.op {
            Op::Mask => 0,
            Op::Forward | Op::Backward => self.elements * self.dtype.bytes(),
        }
    }

    /// Bytes of the mask that is stored or read.
    fn mask_bytes(&self) -> u64 {
        self.mask.map_or(0, |format| format.buffer_bytes(self.elements))
    }

    /// Bytes of the buffers that are measured in: the roof may need longer ones than the tensor.
    fn buffer_bytes(&self) -> u64 {
        2 * self.tensor_bytes().max(self.bytes().div_ceil(2)) + self.mask_bytes()
    }

    /// Bytes that the operation must read and write.
    fn bytes(&self) -> u64 {
        2 * self.tensor_bytes() + self.mask_bytes()
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            op, dtype, elements, ..
        } = self;
        write!(
            f,
            "{} {dtype} {}",
            report::op_name(*op),
            report::elements_name(*elements)
        )
    }
}

/// Refuses what does not fit into the memory of this machine, where a system would rather kill than refuse.
fn check_memory(needed: u64) -> Result<(), Box<dyn Error>> {
    let mut system = sysinfo::System::new();
    system.refresh_memory();
    let available = system.available_memory();
    if needed > available {
        let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
        return Err(format!(
            "needs {:.1} GiB of memory, of which {:.1} are available; use a smaller size",
            gib(needed),
            gib(available)
        )
        .into());
    }
    Ok(())
}

fn cases(arguments: &Bench) -> Vec<Case> {
    let mut cases = Vec::new();
    for &op in &arguments.op {
        for &dtype in &arguments.dtype {
            for &random_bits in &arguments.random_bits {
                for &mask in &arguments.mask {
                    for &p in &arguments.p {
                        for &elements in &arguments.sizes {
                            cases.push(Case {
                                op,
                                dtype: dtype.into(),
                                p,
                                random_bits: random_bits.into(),
                                mask: mask.into(),
                                elements,
                            });
                        }
                    }
                }
            }
        }
    }
    // A mask that is neither stored nor applied is no work, and one alone has no element type.
    cases.retain(|case| case.op != Op::Mask || case.mask.is_some());
    let mut unique: Vec<Case> = Vec::new();
    for mut case in cases {
        if case.op == Op::Mask {
            case.dtype = DType::F32;
        }
        if !unique.contains(&case) {
            unique.push(case);
        }
    }
    unique
}

/// The files that were asked for; that they can be written is known before anything is measured.
fn outputs(paths: [&Option<PathBuf>; 3]) -> Result<[Option<Output>; 3], Box<dyn Error>> {
    let mut outputs = [const { None }; 3];
    for (output, path) in outputs.iter_mut().zip(paths) {
        if let Some(path) = path {
            *output = Some(Output::create(path).map_err(|error| format!("{}: {error}", path.display()))?);
        }
    }
    Ok(outputs)
}

fn finish(
    output: Option<Output>,
    write: impl FnOnce(&mut Output) -> Result<(), Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    let Some(mut output) = output else {
        return Ok(());
    };
    let path = output.path().to_owned();
    write(&mut output)
        .and_then(|()| Ok(output.finish()?))
        .map_err(|error| format!("{}: {error}", path.display()))?;
    println!("wrote {}", path.display());
    Ok(())
}

/// The adapters to measure: those named on the command line or in `WGPU_ADAPTER_NAME`, else one, a GPU before
/// a software adapter.
fn adapters_of(wanted: Option<&str>) -> Result<Vec<wgpu::Adapter>, ContextError> {
    let environment = std::env::var("WGPU_ADAPTER_NAME").ok();
    if let Some(wanted) = wanted.or(environment.as_deref()) {
        return adapters::matching(wanted);
    }
    let rank = |adapter: &wgpu::Adapter| match adapter.get_info().device_type {
        wgpu::DeviceType::DiscreteGpu => 0,
        wgpu::DeviceType::IntegratedGpu => 1,
        wgpu::DeviceType::VirtualGpu | wgpu::DeviceType::Other => 2,
        wgpu::DeviceType::Cpu => 3,
    };
    Ok(adapters::matching("all")?
        .into_iter()
        .min_by_key(rank)
        .into_iter()
        .collect())
}

pub fn run(arguments: &Bench) -> Result<bool, Box<dyn Error>> {
    let cases = cases(arguments);
    if cases.is_empty() {
        return Err("a mask alone must be stored: add --mask bits or --mask bytes".into());
    }
    let [json, csv, plot] = outputs([&arguments.json, &arguments.csv, &arguments.plot])?;
    let with_gpu = arguments.backend.contains(&BenchBackend::Gpu);
    let with_cpu = arguments.backend.contains(&BenchBackend::Cpu);
    let mut gpus = Vec::new();
    if with_gpu {
        for adapter in adapters_of(arguments.adapter.as_deref())? {
            gpus.push(gpu::Gpu::new(&adapter)?);
        }
    }

    let progress = bar("bench");
    progress.set_length((cases.len() * (gpus.len() + usize::from(with_cpu))) as u64);
    let mut rows: Vec<Row> = Vec::new();
    let mut failures = Vec::new();
    let mut keep = |name: &str, case: &Case, outcome: Result<Row, Box<dyn Error>>| {
        match outcome {
            Ok(row) => rows.push(row),
            Err(error) => failures.push(format!("{name}, {case}: {error}")),
        }
        progress.inc(1);
    };
    for case in cases.iter().filter(|_| with_cpu) {
        keep("CPU", case, cpu::measure(case));
    }
    for gpu in &gpus {
        for case in &cases {
            keep(&gpu.name(), case, gpu.measure(case));
        }
    }
    progress.finish_and_clear();
    report::set_gpu_over_cpu(&mut rows);

    let names = |name: fn(&gpu::Gpu) -> String| {
        let names: Vec<_> = gpus.iter().map(name).collect();
        (!names.is_empty()).then(|| names.join("; "))
    };
    let report = Report {
        schema: 1,
        date: report::today(),
        machine: Machine::this(),
        adapter: names(gpu::Gpu::name),
        driver: names(gpu::Gpu::driver),
        versions: Versions::this(),
        rows,
    };
    report.print();
    finish(json, |file| Ok(serde_json::to_writer_pretty(file, &report)?))?;
    finish(csv, |file| report.write_csv(file))?;
    finish(plot, |file| plot::draw(&report, file))?;
    for failure in &failures {
        eprintln!("error: {failure}");
    }
    Ok(failures.is_empty())
}

//! `verify`: every kernel variant against the reference on the adapters of this machine.

use std::error::Error;

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use wgpu_dropout::gpu::KernelOptions;
use wgpu_dropout::gpu::blocking::Context;
use wgpu_dropout::gpu::self_test::{self, Comparison, Coverage};
use wgpu_dropout::{DType, wgpu};

use crate::adapters;
use crate::args::Verify;

#[derive(Debug, Serialize)]
struct Report {
    adapter: String,
    backend: String,
    driver: String,
    equal: bool,
    /// Why the comparison could not be run, if it could not.
    error: Option<String>,
    comparisons: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    operation: String,
    kernels: String,
    cases: u64,
    elements: u64,
    difference: Option<String>,
}

impl From<Comparison> for Row {
    fn from(comparison: Comparison) -> Self {
        Self {
            operation: comparison.operation,
            kernels: comparison.kernels,
            cases: comparison.cases,
            elements: comparison.elements,
            difference: comparison.difference.map(|difference| difference.to_string()),
        }
    }
}

pub fn run(arguments: &Verify) -> Result<bool, Box<dyn Error>> {
    let chosen = adapters::matching(&arguments.adapter)?;
    let mut reports = Vec::new();
    for adapter in &chosen {
        let info = adapter.get_info();
        let outcome = verify(adapter, arguments.exhaustive);
        let (error, comparisons) = match outcome {
            Ok(comparisons) => (None, comparisons),
            Err(error) => (Some(error.to_string()), Vec::new()),
        };
        let report = Report {
            adapter: info.name,
            backend: info.backend.to_string(),
            driver: format!("{} {}", info.driver, info.driver_info).trim().to_owned(),
            equal: error.is_none() && comparisons.iter().all(|comparison| comparison.difference.is_none()),
            error,
            comparisons: comparisons.into_iter().map(Row::from).collect(),
        };
        if !arguments.json {
            print(&report);
        }
        reports.push(report);
    }
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&reports)?);
    }
    Ok(reports.iter().all(|report| report.equal))
}

/// The parts of the self-test, each in a thread and with a device of its own: nearly all of the time is the driver's compiler's,
/// which works on one pipeline of a device after the other.
fn every_variant(
    adapter: &wgpu::Adapter,
    context: &Context,
    bar: &ProgressBar,
) -> Result<Vec<Comparison>, Box<dyn Error>> {
    let device = context.kernels().device();
    let parts = Coverage::parts(device.features(), &device.limits());
    let compare = |part| -> Result<Vec<Comparison>, String> {
        let context = Context::with_adapter(adapter, &KernelOptions::default()).map_err(|error| error.to_string())?;
        let (device, queue) = (context.kernels().device(), context.kernels().queue());
        let run = self_test::run(device, queue, part, |_, total| {
            bar.set_length((total * parts.len()) as u64);
            bar.inc(1);
        });
        pollster::block_on(run).map_err(|error| error.to_string())
    };
    let at_once = parts_at_once(context.adapter().backend);
    let mut comparisons = Vec::new();
    for parts in parts.chunks(at_once) {
        let compared: Vec<_> = std::thread::scope(|scope| {
            let compare = &compare;
            let threads: Vec<_> = parts.iter().map(|&part| scope.spawn(move || compare(part))).collect();
            threads.into_iter().map(std::thread::ScopedJoinHandle::join).collect()
        });
        for compared in compared {
            comparisons.extend(compared.map_err(|_| "the self-test panicked, which is a bug")??);
        }
    }
    Ok(comparisons)
}

/// As many as there are cores. All devices of a GL adapter share one context, and wgpu panics in a thread that waits for it
/// longer than a second on Windows and six elsewhere, which another's compiling a pipeline may take.
fn parts_at_once(backend: wgpu::Backend) -> usize {
    match backend {
        wgpu::Backend::Gl => 1,
        _ => std::thread::available_parallelism().map_or(1, usize::from),
    }
}

fn verify(adapter: &wgpu::Adapter, exhaustive: bool) -> Result<Vec<Comparison>, Box<dyn Error>> {
    let context = Context::with_adapter(adapter, &KernelOptions::default())?;
    let name = context.adapter().name.clone();
    let bar = bar(&format!("{name}: variants"));
    let mut comparisons = every_variant(adapter, &context, &bar)?;
    bar.finish_and_clear();
    if exhaustive {
        for dtype in DType::ALL {
            let bar = self::bar(&format!("{name}: every {dtype}"));
            comparisons.extend(pollster::block_on(self_test::sweep(
                context.kernels(),
                dtype,
                |done, total| {
                    bar.set_length(total);
                    bar.set_position(done);
                },
            ))?);
            bar.finish_and_clear();
        }
    }
    Ok(comparisons)
}

/// A bar on standard error; indicatif hides it where that is no terminal.
pub fn bar(what: &str) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix}  {bar:40} {percent:>3} %  {eta} left");
    ProgressBar::new(1)
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        .with_prefix(what.to_owned())
}

fn print(report: &Report) {
    println!("{} ({}), {}", report.adapter, report.backend, report.driver);
    if let Some(error) = &report.error {
        println!("  FAILED  {error}");
        return;
    }
    println!(
        "  {:<34} {:<34} {:>10} {:>7} {:>14}  result",
        "what", "kernels", "operations", "cases", "elements"
    );
    for (operations, kernels, rows) in groups(&report.comparisons) {
        let different = rows.iter().filter(|row| row.difference.is_some()).count();
        println!(
            "  {operations:<34} {kernels:<34} {:>10} {:>7} {:>14}  {}",
            rows.len(),
            rows.iter().map(|row| row.cases).sum::<u64>(),
            rows.iter().map(|row| row.elements).sum::<u64>(),
            if different == 0 {
                "equal".to_owned()
            } else {
                format!("{different} DIFFER")
            },
        );
    }
    let mut different = report
        .comparisons
        .iter()
        .filter_map(|row| Some((row, row.difference.as_ref()?)));
    if let Some((row, difference)) = different.next() {
        println!("  first difference: {} [{}]: {difference}", row.operation, row.kernels);
        let others = different.count();
        if others > 0 {
            println!("  and {others} more operations differ; --json lists them");
        }
    }
}

/// Rows of one element type (or the masks alone, or one sweep) and one kind of kernels.
fn groups(rows: &[Row]) -> Vec<(String, String, Vec<&Row>)> {
    let mut groups: Vec<(String, String, Vec<&Row>)> = Vec::new();
    for row in rows {
        let name = match row.operation.split_once(' ') {
            Some(("every", _)) | None => row.operation.clone(),
            Some(("multiply", _)) => "multiply at its edges".to_owned(),
            Some(("bit" | "byte", _)) => "masks alone".to_owned(),
            Some((dtype, _)) => format!("{dtype} forward, backward, inference"),
        };
        match groups
            .iter_mut()
            .find(|(group, kernels, _)| *group == name && *kernels == row.kernels)
        {
            Some((_, _, rows)) => rows.push(row),
            None => groups.push((name, row.kernels.clone(), vec![row])),
        }
    }
    groups
}

//! The report: what JSON and CSV hold and the table shows. docs/bench.md describes the fields.

use std::error::Error;
use std::io::Write;
use std::time::SystemTime;

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};
use serde::Serialize;
use wgpu_dropout::MaskFormat;

use super::Case;
use super::sample::Samples;
use crate::args::Op;

#[derive(Debug, Serialize)]
pub struct Report {
    /// Version of these fields; within one they are only added to.
    pub schema: u32,
    /// When, in UTC.
    pub date: String,
    pub machine: Machine,
    /// Names of the adapters measured, joined by "; ".
    pub adapter: Option<String>,
    /// Their drivers.
    pub driver: Option<String>,
    pub versions: Versions,
    pub rows: Vec<Row>,
}

#[derive(Debug, Serialize)]
pub struct Machine {
    pub cpu: String,
    pub cores: usize,
    pub memory_bytes: u64,
    pub os: String,
    pub architecture: &'static str,
}

impl Machine {
    pub fn this() -> Self {
        let mut system = sysinfo::System::new();
        system.refresh_memory();
        system.refresh_cpu_list(sysinfo::CpuRefreshKind::nothing());
        Self {
            cpu: system
                .cpus()
                .first()
                .map_or_else(|| "unknown".to_owned(), |cpu| cpu.brand().trim().to_owned()),
            cores: rayon::current_num_threads(),
            memory_bytes: system.total_memory(),
            os: sysinfo::System::long_os_version().unwrap_or_else(|| std::env::consts::OS.to_owned()),
            architecture: std::env::consts::ARCH,
        }
    }
}

#[derive(Debug, Serialize)]
pub struct Versions {
    pub wgpu_dropout: &'static str,
    pub wgpu: &'static str,
}

impl Versions {
    pub fn this() -> Self {
        Self {
            wgpu_dropout: env!("CARGO_PKG_VERSION"),
            wgpu: env!("WGPU_VERSION"),
        }
    }
}

/// What a GPU row says besides times.
pub struct GpuNames {
    pub adapter: String,
    pub multiply: &'static str,
}

/// One case. Times are in seconds; those without `gpu_` are wall time from the call to the result in memory.
#[derive(Debug, Serialize)]
pub struct Row {
    pub backend: &'static str,
    pub adapter: Option<String>,
    pub multiply: Option<&'static str>,
    pub op: &'static str,
    pub dtype: &'static str,
    pub random_bits: u32,
    pub mask: &'static str,
    pub elements: u64,
    pub p: f64,
    pub samples: usize,
    pub median_s: f64,
    /// Interquartile range.
    pub spread_s: f64,
    /// What the operation must read and write.
    pub bytes: u64,
    pub gb_per_s: f64,
    pub elements_per_s: f64,
    /// The copy kernel or the scale-only pass over as many bytes, measured in turns with the case.
    pub roof_median_s: f64,
    pub ratio_to_roof: f64,
    /// By timestamp queries, where the adapter has them.
    pub gpu_median_s: Option<f64>,
    pub gpu_spread_s: Option<f64>,
    pub gpu_roof_median_s: Option<f64>,
    pub gpu_ratio_to_roof: Option<f64>,
    /// How many times faster than the CPU's row of the same case, wall time both.
    pub gpu_over_cpu: Option<f64>,
    /// From new kernels to the first result: shader, pipeline, the driver's compiler, one run.
    pub first_use_s: f64,
    /// What is kept for the backward pass ...
    pub mask_bytes: u64,
    /// ... where frameworks keep a byte an element.
    pub byte_mask_bytes: u64,
}

impl Row {
    pub fn new(case: &Case, gpu: Option<GpuNames>, roofs: &Samples, cases: &Samples, first_use: f64) -> Self {
        let (wall, roof) = (cases.wall(), roofs.wall());
        let (gpu_wall, gpu_roof) = (cases.gpu(), roofs.gpu());
        let (adapter, multiply) = gpu.map(|gpu| (gpu.adapter, gpu.multiply)).unzip();
        Self {
            backend: if adapter.is_some() { "gpu" } else { "cpu" },
            adapter,
            multiply,
            op: op_name(case.op),
            dtype: match case.op {
                Op::Mask => "none",
                Op::Forward | Op::Backward => case.dtype.name(),
            },
            random_bits: case.random_bits.bits(),
            mask: match case.mask {
                None => "none",
                Some(MaskFormat::Bits) => "bits",
                Some(MaskFormat::Bytes) => "bytes",
            },
            elements: case.elements,
            p: case.p,
            samples: cases.count(),
            median_s: wall.median,
            spread_s: wall.spread,
            bytes: case.bytes(),
            gb_per_s: case.bytes() as f64 / wall.median * 1e-9,
            elements_per_s: case.elements as f64 / wall.median,
            roof_median_s: roof.median,
            ratio_to_roof: wall.median / roof.median,
            gpu_median_s: gpu_wall.map(|gpu| gpu.median),
            gpu_spread_s: gpu_wall.map(|gpu| gpu.spread),
            gpu_roof_median_s: gpu_roof.map(|gpu| gpu.median),
            gpu_ratio_to_roof: gpu_wall.zip(gpu_roof).map(|(case, roof)| case.median / roof.median),
            gpu_over_cpu: None,
            first_use_s: first_use,
            mask_bytes: case.mask_bytes(),
            byte_mask_bytes: case.elements,
        }
    }

    fn is_same_case(&self, other: &Self) -> bool {
        (self.op, self.dtype, self.random_bits, self.mask, self.elements)
            == (other.op, other.dtype, other.random_bits, other.mask, other.elements)
            && self.p.to_bits() == other.p.to_bits()
    }

    /// Share of the roof's speed, by the GPU's own clock where there is one.
    pub fn share(&self) -> f64 {
        1.0 / self.gpu_ratio_to_roof.unwrap_or(self.ratio_to_roof)
    }
}

pub fn op_name(op: Op) -> &'static str {
    match op {
        Op::Forward => "forward",
        Op::Backward => "backward",
        Op::Mask => "mask",
    }
}

/// As the sizes are written on the command line.
pub fn elements_name(elements: u64) -> String {
    let units = [(30, "Gi"), (20, "Mi"), (10, "Ki")];
    units
        .into_iter()
        .find(|(shift, _)| elements >= 1 << shift && elements.is_multiple_of(1 << shift))
        .map_or_else(
            || elements.to_string(),
            |(shift, unit)| format!("{}{unit}", elements >> shift),
        )
}

fn bytes_name(bytes: u64) -> String {
    match bytes {
        0..10_240 => format!("{bytes} B"),
        10_240..10_485_760 => format!("{} KiB", bytes >> 10),
        _ => format!("{} MiB", bytes >> 20),
    }
}

/// Three significant digits and a unit.
fn time_name(seconds: f64) -> String {
    let (value, unit) = match seconds {
        s if s >= 1.0 => (s, "s"),
        s if s >= 1e-3 => (s * 1e3, "ms"),
        s => (s * 1e6, "us"),
    };
    let decimals = if value >= 100.0 {
        0
    } else {
        1 + usize::from(value < 10.0)
    };
    format!("{value:.decimals$} {unit}")
}

pub fn today() -> String {
    humantime::format_rfc3339_seconds(SystemTime::now()).to_string()
}

pub fn set_gpu_over_cpu(rows: &mut [Row]) {
    for i in 0..rows.len() {
        if rows[i].backend == "gpu" {
            let cpu = rows
                .iter()
                .find(|other| other.backend == "cpu" && other.is_same_case(&rows[i]));
            rows[i].gpu_over_cpu = cpu.map(|cpu| cpu.median_s / rows[i].median_s);
        }
    }
}

impl Report {
    pub fn write_csv(&self, file: &mut impl Write) -> Result<(), Box<dyn Error>> {
        let mut writer = csv::Writer::from_writer(file);
        for row in &self.rows {
            writer.serialize(row)?;
        }
        Ok(writer.flush()?)
    }

    /// One table a backend and adapter, so that no column mixes clocks or roofs.
    pub fn print(&self) {
        let Machine { cpu, cores, os, .. } = &self.machine;
        let Versions { wgpu_dropout, wgpu } = self.versions;
        println!("{cpu}, {cores} cores, {os}; wgpu-dropout {wgpu_dropout}, wgpu {wgpu}");
        let mut groups: Vec<(Option<&str>, Vec<&Row>)> = Vec::new();
        for row in &self.rows {
            let name = row.adapter.as_deref();
            match groups.iter_mut().find(|(group, _)| *group == name) {
                Some((_, rows)) => rows.push(row),
                None => groups.push((name, vec![row])),
            }
        }
        for (adapter, rows) in groups {
            let timestamps = rows.iter().all(|row| row.gpu_median_s.is_some());
            let clock = if timestamps { "the GPU's own time" } else { "wall time" };
            match adapter {
                Some(name) => println!("\n{name}, beside a plain copy kernel; speeds by {clock}"),
                None => println!("\nCPU, beside y = x * s on all cores"),
            }
            println!("{}", table(&rows, timestamps));
        }
        if !self.rows.is_empty() {
            println!("Every result above was equal to the reference, bit for bit.");
        }
    }
}

fn table(rows: &[&Row], timestamps: bool) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    let is_gpu = rows.iter().any(|row| row.adapter.is_some());
    let with_cpu = rows.iter().any(|row| row.gpu_over_cpu.is_some());
    let mut header = vec!["op", "dtype", "bits", "mask", "p", "elements", "wall time", "+-"];
    if timestamps {
        header.extend(["GPU time", "+-"]);
    }
    header.extend(["GB/s", "Gelem/s", "memory speed"]);
    if with_cpu {
        header.push("x CPU");
    }
    if is_gpu {
        header.push("first use");
    }
    header.extend(["mask kept", "byte mask"]);
    table.set_header(header);
    for row in rows {
        let mut cells = vec![
            row.op.to_owned(),
            row.dtype.to_owned(),
            row.random_bits.to_string(),
            row.mask.to_owned(),
            row.p.to_string(),
            elements_name(row.elements),
            time_name(row.median_s),
            time_name(row.spread_s),
        ];
        // Speeds by the clock that the shares are by.
        let mut seconds = row.median_s;
        if timestamps {
            seconds = row.gpu_median_s.unwrap_or(f64::NAN);
            cells.push(time_name(seconds));
            cells.push(time_name(row.gpu_spread_s.unwrap_or(f64::NAN)));
        }
        cells.push(format!("{:.1}", row.bytes as f64 / seconds * 1e-9));
        cells.push(format!("{:.2}", row.elements as f64 / seconds * 1e-9));
        cells.push(format!("{:.0} %", row.share() * 100.0));
        if with_cpu {
            cells.push(row.gpu_over_cpu.map_or_else(
                || "-".to_owned(),
                |ratio| format!("{ratio:.*}", if ratio < 0.1 { 4 } else { 2 }),
            ));
        }
        if is_gpu {
            cells.push(time_name(row.first_use_s));
        }
        cells.push(bytes_name(row.mask_bytes));
        cells.push(bytes_name(row.byte_mask_bytes));
        table.add_row(cells);
    }
    // Numbers end below each other.
    for column in table.column_iter_mut().skip(4) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_numbers() {
        assert_eq!(elements_name(65_536), "64Ki");
        assert_eq!(elements_name(1000), "1000");
        assert_eq!(elements_name(1 << 32), "4Gi");
        assert_eq!(time_name(0.001_234), "1.23 ms");
        assert_eq!(time_name(0.012_34), "12.3 ms");
        assert_eq!(time_name(0.123_4), "123 ms");
        assert_eq!(time_name(0.000_001), "1.00 us");
        assert_eq!(bytes_name(2 << 20), "2048 KiB");
    }
}

//! The arguments: what clap parses and `--help` shows.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use wgpu_dropout::{DType, Dropout, IndexMap, IndexMapError, MaskFormat, Probability, RandomBits, ScaleMode};

/// Dropout as GPU kernels: the same bits on every GPU and on the CPU.
#[derive(Debug, Parser)]
#[command(name = "wgpu-dropout", version, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    Info(Info),
    Apply(Apply),
    Verify(Verify),
    Bench(Bench),
    Rng(Rng),
    Completions(Completions),
    Man(Man),
}

/// List the adapters of this machine, and which kernel variant each gets and why.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  wgpu-dropout info
  WGPU_BACKEND=vulkan wgpu-dropout info --json")]
pub struct Info {
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Apply dropout to a tensor in a .npy file.
///
/// Reads f32 (`<f4`), f16 (`<f2`) or bf16 (`<u2` with --dtype bf16) in any shape, which is kept, and
/// streams, so the file may be larger than memory. The output appears whole or not at all.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  Training, forward; the mask is a function of (p, seed, subsequence, index), so nothing need be stored:
    wgpu-dropout apply x.npy y.npy --p 0.1 --seed 42 --subsequence 7
  Backward, with the mask drawn again:
    wgpu-dropout apply dy.npy dx.npy --p 0.1 --seed 42 --subsequence 7 --backward
  Store the mask as bits, and use it:
    wgpu-dropout apply x.npy y.npy --p 0.1 --seed 42 --mask-out mask.npy
    wgpu-dropout apply dy.npy dx.npy --p 0.1 --seed 42 --backward --mask-in mask.npy
  The second page of a tensor whose first page has 0x100000 elements:
    wgpu-dropout apply page2.npy out2.npy --p 0.1 --seed 42 --element-offset 0x100000
  Whole feature maps of a tensor of 2 x 64 x 28 x 28, by the mask's shape or by its strides:
    wgpu-dropout apply x.npy y.npy --p 0.1 --seed 42 --noise-shape 2,64,1,1
    wgpu-dropout apply x.npy y.npy --p 0.1 --seed 42 --mask-strides 64,1,0,0

Numbers are decimal or 0x hexadecimal. Exit status: 0 done, 1 failed, 2 usage.")]
pub struct Apply {
    /// The tensor, a .npy file.
    pub input: PathBuf,
    /// Where the result goes; may be the input itself.
    pub output: PathBuf,
    /// Probability that an element is dropped, in [0, 1].
    #[arg(long, value_parser = parse_p, allow_negative_numbers = true)]
    pub p: f64,
    /// Seed, Philox's key.
    #[arg(long, value_parser = parse_u64)]
    pub seed: u64,
    /// Which of the seed's independent sequences: a step, a layer, a call.
    #[arg(long, value_parser = parse_u64, default_value = "0", value_name = "N")]
    pub subsequence: u64,
    /// Global index of the file's first element.
    #[arg(long, value_parser = parse_u64, default_value = "0", value_name = "N")]
    pub element_offset: u64,
    /// Shape of the mask, which is broadcast: for each dimension of the file its length, or 1 to share.
    #[arg(long, value_delimiter = ',', value_parser = parse_u64, value_name = "N,...", conflicts_with = "mask_strides")]
    pub noise_shape: Option<Vec<u64>>,
    /// For each dimension of the file, how far apart its neighbours are in the random stream; 0 to share.
    #[arg(long, value_delimiter = ',', value_parser = parse_u64, value_name = "N,...")]
    pub mask_strides: Option<Vec<u64>>,
    /// Random bits spent on each element.
    #[arg(long, default_value = "32")]
    pub random_bits: Bits,
    /// Whether to scale while training (inverted) or at inference (classic).
    #[arg(long, default_value = "inverted")]
    pub scale_mode: Mode,
    /// Element type; taken from the file where it says so. bf16 files are `<u2`.
    #[arg(long)]
    pub dtype: Option<Type>,
    /// The input is the gradient of the output.
    #[arg(long)]
    pub backward: bool,
    /// Store the mask in this file.
    #[arg(long, value_name = "FILE.npy", conflicts_with = "backward")]
    pub mask_out: Option<PathBuf>,
    /// Take the mask from this file instead of drawing it.
    #[arg(long, value_name = "FILE.npy", requires = "backward")]
    pub mask_in: Option<PathBuf>,
    /// Format of the stored mask: 1-D `<u4` words, or `|u1` in the input's shape.
    #[arg(long, default_value = "bits")]
    pub mask_format: Format,
    /// What computes; auto is the GPU where there is one, else the CPU.
    #[arg(long, default_value = "auto")]
    pub backend: BackendChoice,
    /// The first adapter whose name contains this.
    #[arg(long, value_name = "TEXT")]
    pub adapter: Option<String>,
}

impl Apply {
    pub fn dropout(&self) -> Result<Dropout, wgpu_dropout::ProbabilityError> {
        Ok(Dropout {
            probability: Probability::new(self.p, self.random_bits.into())?,
            scale_mode: self.scale_mode.into(),
            seed: self.seed,
            subsequence: self.subsequence,
            element_offset: self.element_offset,
        })
    }

    /// The index map of a file of that shape; a file's shape alone is a plain one.
    pub fn index_map(&self, shape: &[u64]) -> Result<IndexMap, IndexMapError> {
        match (&self.noise_shape, &self.mask_strides) {
            (Some(noise_shape), _) => IndexMap::noise_shape(shape, noise_shape),
            (None, Some(mask_strides)) => IndexMap::new(shape, mask_strides),
            (None, None) => IndexMap::plain(shape),
        }
    }
}

/// Compare every kernel variant with the reference, bit for bit: what to run on a new GPU.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  wgpu-dropout verify
  wgpu-dropout verify --adapter nvidia --exhaustive

Exit status: 0 all equal, 1 a difference or a failure, 2 usage.")]
pub struct Verify {
    /// Adapters whose name contains this, or all.
    #[arg(long, value_name = "TEXT", default_value = "all")]
    pub adapter: String,
    /// Also go through all 2^32 f32 and 2^16 f16 and bf16 bit patterns at several scales.
    #[arg(long)]
    pub exhaustive: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Time the kernels and the CPU path beside a pass that only moves the same bytes.
///
/// Every case is timed in turns with its roof: a plain copy kernel on the GPU, y = x * s on the CPU. Every
/// result is compared with the reference, bit for bit, before its time counts.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  wgpu-dropout bench
  wgpu-dropout bench --sizes 16Mi,64Mi --dtype bf16 --random-bits 16 --backend cpu
  wgpu-dropout bench --sizes 4Gi --dtype f32 --adapter nvidia --json 4gi.json --plot 4gi.png
  wgpu-dropout bench --op forward,backward,mask --mask none,bits,bytes --csv all.csv

Every combination of the lists is a case, but for a mask alone that is not stored.
Exit status: 0 done and all results right, 1 a wrong result or a failure, 2 usage.")]
pub struct Bench {
    /// Elements: a number, or with Ki, Mi or Gi.
    #[arg(long, value_delimiter = ',', value_parser = parse_elements, value_name = "N,...",
        default_values = ["64Ki", "256Ki", "1Mi", "4Mi", "16Mi"])]
    pub sizes: Vec<u64>,
    /// Element types.
    #[arg(long, value_delimiter = ',', default_values = ["f32", "f16", "bf16"])]
    pub dtype: Vec<Type>,
    /// Probabilities that an element is dropped, in [0, 1].
    #[arg(long, value_delimiter = ',', value_parser = parse_p, allow_negative_numbers = true, default_values = ["0.1"])]
    pub p: Vec<f64>,
    /// Random bits spent on each element.
    #[arg(long, value_delimiter = ',', default_values = ["32"])]
    pub random_bits: Vec<Bits>,
    /// What is done with the mask: the forward pass stores it, the backward pass reads it; none draws it again.
    #[arg(long, value_delimiter = ',', default_values = ["none"])]
    pub mask: Vec<StoredFormat>,
    /// Operations.
    #[arg(long, value_delimiter = ',', default_values = ["forward"])]
    pub op: Vec<Op>,
    /// What computes.
    #[arg(long, value_delimiter = ',', default_values = ["gpu", "cpu"])]
    pub backend: Vec<BenchBackend>,
    /// Adapters whose name contains this, or all; if left out one, a GPU before a software adapter.
    #[arg(long, value_name = "TEXT")]
    pub adapter: Option<String>,
    /// Write the report as JSON.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write its rows as CSV.
    #[arg(long, value_name = "FILE")]
    pub csv: Option<PathBuf>,
    /// Plot the share of memory speed over the size, as SVG or PNG by the file's ending.
    #[arg(long, value_name = "FILE.svg|png", value_parser = parse_plot)]
    pub plot: Option<PathBuf>,
}

/// Write the random words that masks are drawn from to standard output, for statistical tests.
///
/// Each word is four bytes, the lowest first: word w is what decides on element w where 32 random bits are
/// spent. On a GPU the kernels' own text draws them.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  wgpu-dropout rng --seed 42 | dieharder -a -g 200
  wgpu-dropout rng --seed 42 --subsequence 7 --words 4 --backend cpu | xxd -e

Ends after --words, or when whoever reads closes the pipe.")]
pub struct Rng {
    /// Seed, Philox's key.
    #[arg(long, value_parser = parse_u64)]
    pub seed: u64,
    /// Which of the seed's independent sequences.
    #[arg(long, value_parser = parse_u64, default_value = "0", value_name = "N")]
    pub subsequence: u64,
    /// The first word.
    #[arg(long, value_parser = parse_u64, default_value = "0", value_name = "N")]
    pub start: u64,
    /// How many; all there are if left out.
    #[arg(long, value_parser = parse_u64, value_name = "N")]
    pub words: Option<u64>,
    /// What draws them.
    #[arg(long, default_value = "gpu")]
    pub backend: WordsFrom,
    /// The first adapter whose name contains this.
    #[arg(long, value_name = "TEXT")]
    pub adapter: Option<String>,
}

/// Print the script with which a shell completes these arguments.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  wgpu-dropout completions bash > ~/.local/share/bash-completion/completions/wgpu-dropout
  wgpu-dropout completions zsh > ~/.zfunc/_wgpu-dropout
  wgpu-dropout completions fish > ~/.config/fish/completions/wgpu-dropout.fish")]
pub struct Completions {
    /// The shell.
    pub shell: clap_complete::Shell,
}

/// Write the pages of the manual, one for each command, into a folder.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  wgpu-dropout man ~/.local/share/man/man1 && man wgpu-dropout-apply")]
pub struct Man {
    /// The folder; made if it is not there.
    pub folder: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum WordsFrom {
    Gpu,
    Cpu,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum StoredFormat {
    None,
    Bits,
    Bytes,
}

impl From<StoredFormat> for Option<MaskFormat> {
    fn from(format: StoredFormat) -> Self {
        match format {
            StoredFormat::None => None,
            StoredFormat::Bits => Some(MaskFormat::Bits),
            StoredFormat::Bytes => Some(MaskFormat::Bytes),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Op {
    Forward,
    Backward,
    Mask,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum BenchBackend {
    Gpu,
    Cpu,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Bits {
    #[value(name = "32")]
    B32,
    #[value(name = "16")]
    B16,
    #[value(name = "8")]
    B8,
}

impl From<Bits> for RandomBits {
    fn from(bits: Bits) -> Self {
        match bits {
            Bits::B32 => Self::B32,
            Bits::B16 => Self::B16,
            Bits::B8 => Self::B8,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Mode {
    Inverted,
    Classic,
}

impl From<Mode> for ScaleMode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Inverted => Self::Inverted,
            Mode::Classic => Self::Classic,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Type {
    F32,
    F16,
    Bf16,
}

impl From<Type> for DType {
    fn from(dtype: Type) -> Self {
        match dtype {
            Type::F32 => Self::F32,
            Type::F16 => Self::F16,
            Type::Bf16 => Self::Bf16,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Bits,
    Bytes,
}

impl From<Format> for MaskFormat {
    fn from(format: Format) -> Self {
        match format {
            Format::Bits => Self::Bits,
            Format::Bytes => Self::Bytes,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum BackendChoice {
    Auto,
    Gpu,
    Cpu,
    Reference,
}

fn parse_p(text: &str) -> Result<f64, String> {
    let p: f64 = text
        .parse()
        .map_err(|_| "not a number; a probability from 0 to 1".to_owned())?;
    match Probability::new(p, RandomBits::default()) {
        Ok(_) => Ok(p),
        Err(error) => Err(error.to_string()),
    }
}

/// A number of elements, to 2^40: a decimal, or one with Ki, Mi or Gi.
fn parse_elements(text: &str) -> Result<u64, String> {
    let units = [("Ki", 1u64 << 10), ("Mi", 1 << 20), ("Gi", 1 << 30), ("", 1)];
    let most = 1 << 40;
    units
        .into_iter()
        .find_map(|(suffix, unit)| Some((text.strip_suffix(suffix)?, unit)))
        .filter(|(digits, _)| digits.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|(digits, unit)| digits.parse::<u64>().ok()?.checked_mul(unit))
        .filter(|elements| (1..=most).contains(elements))
        .ok_or_else(|| "a number of elements from 1 to 1024Gi, such as 1000000, 64Ki, 16Mi or 4Gi".to_owned())
}

fn parse_plot(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("svg" | "png") => Ok(path),
        _ => Err("name a file that ends in .svg or .png".to_owned()),
    }
}

/// Decimal or 0x hexadecimal, the full range of u64.
fn parse_u64(text: &str) -> Result<u64, String> {
    let hex = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let (digits, radix) = hex.map_or((text, 10), |digits| (digits, 16));
    if digits.starts_with('+') {
        return Err("a number from 0 to 0xffffffffffffffff, without a sign".to_owned());
    }
    u64::from_str_radix(digits, radix)
        .map_err(|error| format!("{error}; a number from 0 to 0xffffffffffffffff, decimal or 0x hexadecimal"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
    }

    #[test]
    fn numbers() {
        assert_eq!(parse_u64("18446744073709551615"), Ok(u64::MAX));
        assert_eq!(parse_u64("0xFFFFffffFFFFffff"), Ok(u64::MAX));
        for bad in ["", "0x", "-1", "+1", "0x+1", "18446744073709551616", "1.0", "ten"] {
            assert!(parse_u64(bad).is_err(), "{bad}");
        }
        assert_eq!(parse_elements("1"), Ok(1));
        assert_eq!(parse_elements("64Ki"), Ok(65_536));
        assert_eq!(parse_elements("1024Gi"), Ok(1 << 40));
        for bad in [
            "",
            "0",
            "Ki",
            "-1",
            "+1",
            "1.5Mi",
            "1025Gi",
            "16M",
            "18446744073709551616Gi",
        ] {
            assert!(parse_elements(bad).is_err(), "{bad}");
        }
        assert_eq!(parse_p("0.5"), Ok(0.5));
        for bad in ["", "-0.1", "1.1", "NaN", "inf"] {
            assert!(parse_p(bad).is_err(), "{bad}");
        }
    }
}

//! `apply`: dropout on a tensor file, streamed.

use std::error::Error;
use std::io::IsTerminal as _;
use std::path::Path;

use indicatif::{ProgressBar, ProgressStyle};
use wgpu_dropout::half::{bf16, f16};
use wgpu_dropout::{DType, Dropout, Element, IndexMap, MaskFormat, bit_mask_words};

use crate::args::{Apply, Format};
use crate::backend::Backend;
use crate::npy::{NpyError, Reader, Writer};

/// Elements in memory at a time; a whole number of mask words.
const PIECE: u64 = 1 << 22;

const WORDS: &str = "<u4";
const BYTES: &str = "|u1";

pub fn run(arguments: &Apply) -> Result<bool, Box<dyn Error>> {
    if cfg!(target_endian = "big") {
        return Err("apply reads and writes little-endian files and works on little-endian machines only".into());
    }
    let dropout = arguments.dropout()?;
    let input = Reader::open(&arguments.input)?;
    let dtype = element_type(&input, arguments.dtype.map(DType::from))?;
    let map = arguments
        .index_map(&input.shape)
        .map_err(|error| format!("{}: {error}", arguments.input.display()))?;
    dropout.over(&map).check(input.elements)?;
    if let Some(mask_out) = &arguments.mask_out
        && same_file(mask_out, &arguments.output)
    {
        return Err(format!("{}: both the output and the mask; name two files", mask_out.display()).into());
    }
    match dtype {
        DType::F32 => stream::<f32>(arguments, &dropout, &map, input),
        DType::F16 => stream::<f16>(arguments, &dropout, &map, input),
        DType::Bf16 => stream::<bf16>(arguments, &dropout, &map, input),
    }
}

/// Whether two paths name one file, now or once written.
fn same_file(a: &Path, b: &Path) -> bool {
    let place = |path: &Path| {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or_else(|| Path::new(".")).canonicalize().ok()?;
        Some(folder.join(path.file_name()?))
    };
    a == b || place(a).zip(place(b)).is_some_and(|(a, b)| a == b)
}

/// The element type that a file's type string and `--dtype` agree on.
fn element_type(input: &Reader, asked: Option<DType>) -> Result<DType, NpyError> {
    let found = match input.descr.as_str() {
        "<f4" => Some(DType::F32),
        "<f2" => Some(DType::F16),
        // NumPy has no bf16; its bits travel as unsigned integers.
        "<u2" if asked == Some(DType::Bf16) => Some(DType::Bf16),
        _ => None,
    };
    match (found, asked) {
        (Some(found), None) => Ok(found),
        (Some(found), Some(asked)) if found == asked => Ok(found),
        (_, Some(DType::F32)) => Err(input.type_error("<f4 for --dtype f32")),
        (_, Some(DType::F16)) => Err(input.type_error("<f2 for --dtype f16")),
        (_, Some(DType::Bf16)) => Err(input.type_error("<u2 for --dtype bf16")),
        (None, None) => Err(input.type_error("<f4 (f32), <f2 (f16), or <u2 with --dtype bf16")),
    }
}

fn stream<T: Element>(
    arguments: &Apply,
    dropout: &Dropout,
    map: &IndexMap,
    mut input: Reader,
) -> Result<bool, Box<dyn Error>> {
    let elements = input.elements;
    let format = MaskFormat::from(arguments.mask_format);
    let (mask_descr, mask_shape) = match format {
        MaskFormat::Bits => (WORDS, vec![bit_mask_words(elements)]),
        MaskFormat::Bytes => (BYTES, input.shape.clone()),
    };
    let mut mask_in = arguments.mask_in.as_deref().map(Reader::open).transpose()?;
    if let Some(mask) = &mask_in {
        mask.expect(mask_descr, &mask_shape)?;
    }
    let backend = Backend::choose(arguments.backend, arguments.adapter.as_deref())?;
    let mut output = Writer::create(&arguments.output, &input.descr, &input.shape)?;
    let mut mask_out = match &arguments.mask_out {
        Some(path) => Some(Writer::create(path, mask_descr, &mask_shape)?),
        None => None,
    };

    let progress = progress_bar(elements);
    let piece = PIECE.min(elements) as usize;
    let (mut x, mut y) = (vec![T::zeroed(); piece], vec![T::zeroed(); piece]);
    let mut words = vec![0u32; bit_mask_words(piece as u64) as usize];
    let mut bytes = vec![
        0u8;
        if arguments.mask_format == Format::Bytes {
            piece
        } else {
            0
        }
    ];
    let mut kept = 0;
    let mut first = 0;
    while first < elements {
        let length = PIECE.min(elements - first) as usize;
        let (x, y) = (&mut x[..length], &mut y[..length]);
        let words = &mut words[..bit_mask_words(length as u64) as usize];
        input.read(bytemuck::cast_slice_mut(x))?;
        let window = map.window(first, length as u64)?;
        let draw = dropout.over(&window);
        let mask: &[u8] = match (format, &mut mask_in) {
            (MaskFormat::Bits, None) => {
                backend.draw_bits(draw, x, y, words)?;
                bytemuck::cast_slice(words)
            }
            (MaskFormat::Bits, Some(mask)) => {
                mask.read(bytemuck::cast_slice_mut(words))?;
                backend.apply_bits(draw, x, words, y)?;
                // Bits behind the last element mean nothing, so they don't count.
                if let (Some(last), tail @ 1..) = (words.last_mut(), length % 32) {
                    *last &= (1 << tail) - 1;
                }
                bytemuck::cast_slice(words)
            }
            (MaskFormat::Bytes, None) => {
                backend.draw_bytes(draw, x, y, &mut bytes[..length])?;
                &bytes[..length]
            }
            (MaskFormat::Bytes, Some(mask)) => {
                mask.read(&mut bytes[..length])?;
                backend.apply_bytes(draw, x, &bytes[..length], y)?;
                &bytes[..length]
            }
        };
        kept += match format {
            MaskFormat::Bits => mask.iter().map(|byte| u64::from(byte.count_ones())).sum::<u64>(),
            MaskFormat::Bytes => mask.iter().map(|&byte| u64::from(byte != 0)).sum(),
        };
        output.write(bytemuck::cast_slice(y))?;
        if let Some(mask_out) = &mut mask_out {
            mask_out.write(mask)?;
        }
        first += length as u64;
        progress.set_position(first);
    }
    progress.finish_and_clear();
    // The tensor last: where it is there, everything is.
    if let Some(mask_out) = mask_out {
        mask_out.finish()?;
    }
    output.finish()?;
    println!("{}", summary(dropout, arguments, kept, elements, &backend));
    Ok(true)
}

fn summary(dropout: &Dropout, arguments: &Apply, kept: u64, elements: u64, backend: &Backend) -> String {
    let probability = dropout.probability;
    let keep = probability.keep_probability();
    let (expected, deviation) = (elements as f64 * keep, (elements as f64 * keep * (1.0 - keep)).sqrt());
    let drawn = match &arguments.mask_in {
        Some(path) => format!("mask from {}", path.display()),
        None => format!("expected {expected:.1} +- {deviation:.1}"),
    };
    format!(
        "{}: kept {kept} of {elements} ({drawn}), p {} (effective {}), factor {}, on {}",
        arguments.output.display(),
        probability.p(),
        probability.effective_p(),
        probability.training_scale(dropout.scale_mode),
        backend.name(),
    )
}

/// A bar on standard error where that is a terminal and the work is long.
fn progress_bar(elements: u64) -> ProgressBar {
    if elements <= PIECE || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style =
        ProgressStyle::with_template("{bar:40} {percent:>3} %  {human_pos} of {human_len} elements, {eta} left");
    ProgressBar::new(elements).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

//! The known answers in `tests/vectors/`: read, never written.

use serde::Deserialize;
use wgpu_dropout::{DType, Dropout, IndexMap, Probability, RandomBits, ScaleMode};

#[derive(Deserialize)]
struct File<C> {
    cases: Vec<C>,
}

fn hex64(hex: &str) -> u64 {
    u64::from_str_radix(hex, 16).unwrap()
}

fn hex32(hex: &str) -> u32 {
    u32::from_str_radix(hex, 16).unwrap()
}

fn dtype(name: &str) -> DType {
    *DType::ALL.iter().find(|dtype| dtype.name() == name).unwrap()
}

fn probability(p: f64, random_bits: u32) -> Probability {
    Probability::new(p, RandomBits::from_bits(random_bits).unwrap()).unwrap()
}

/// Inverted dropout with that seed, subsequence and offset.
fn inverted(probability: Probability, place: [&String; 3]) -> Dropout {
    let [seed, subsequence, element_offset] = place.map(|hex| hex64(hex));
    Dropout {
        probability,
        scale_mode: ScaleMode::Inverted,
        seed,
        subsequence,
        element_offset,
    }
}

#[derive(Debug)]
pub struct Philox {
    pub counter: [u32; 4],
    pub key: [u32; 2],
    pub output: [u32; 4],
}

pub fn philox() -> Vec<Philox> {
    #[derive(Deserialize)]
    struct Raw {
        counter: [String; 4],
        key: [String; 2],
        output: [String; 4],
    }
    let file: File<Raw> = serde_json::from_str(include_str!("../vectors/philox4x32_10.json")).unwrap();
    file.cases
        .iter()
        .map(|raw| Philox {
            counter: raw.counter.each_ref().map(|hex| hex32(hex)),
            key: raw.key.each_ref().map(|hex| hex32(hex)),
            output: raw.output.each_ref().map(|hex| hex32(hex)),
        })
        .collect()
}

#[derive(Clone, Deserialize)]
pub struct Case {
    pub name: String,
    dtype: String,
    p: f64,
    seed: String,
    subsequence: String,
    element_offset: String,
    random_bits: u32,
    scale_mode: String,
    threshold: String,
    scale_bits: String,
    pub input: Vec<String>,
    pub output: Vec<String>,
    bit_mask: Vec<String>,
    byte_mask: String,
    shape: Option<Vec<u64>>,
    mask_strides: Option<Vec<String>>,
}

fn all_dropout() -> impl Iterator<Item = Case> {
    let file: File<Case> = serde_json::from_str(include_str!("../vectors/dropout_v1.json")).unwrap();
    file.cases.into_iter()
}

/// The cases without an index map.
pub fn dropout() -> Vec<Case> {
    all_dropout().filter(|case| case.mask_strides.is_none()).collect()
}

/// The cases with one.
pub fn mapped() -> Vec<Case> {
    all_dropout().filter(|case| case.mask_strides.is_some()).collect()
}

impl Case {
    /// The index map of a case that has one.
    pub fn map(&self) -> IndexMap {
        let strides = self.mask_strides.as_ref().unwrap();
        let strides: Vec<u64> = strides.iter().map(|hex| hex64(hex)).collect();
        IndexMap::new(self.shape.as_ref().unwrap(), &strides).unwrap()
    }

    pub fn dtype(&self) -> DType {
        dtype(&self.dtype)
    }

    pub fn dropout(&self) -> Dropout {
        Dropout {
            probability: probability(self.p, self.random_bits),
            scale_mode: match self.scale_mode.as_str() {
                "inverted" => ScaleMode::Inverted,
                "classic" => ScaleMode::Classic,
                other => panic!("unknown scale mode {other}"),
            },
            seed: hex64(&self.seed),
            subsequence: hex64(&self.subsequence),
            element_offset: hex64(&self.element_offset),
        }
    }

    pub fn threshold(&self) -> u64 {
        hex64(&self.threshold)
    }

    pub fn scale_bits(&self) -> u32 {
        hex32(&self.scale_bits)
    }

    pub fn bit_mask_words(&self) -> Vec<u32> {
        self.bit_mask.iter().map(|hex| hex32(hex)).collect()
    }

    pub fn byte_mask_bytes(&self) -> Vec<u8> {
        self.byte_mask.bytes().map(|digit| digit - b'0').collect()
    }
}

#[derive(Deserialize)]
pub struct Inference {
    dtype: String,
    p: f64,
    random_bits: u32,
    factor_bits: String,
    pub input: Vec<String>,
    pub output: Vec<String>,
}

pub fn inference() -> Vec<Inference> {
    let file: File<Inference> = serde_json::from_str(include_str!("../vectors/inference_v1.json")).unwrap();
    file.cases
}

impl Inference {
    pub fn dtype(&self) -> DType {
        dtype(&self.dtype)
    }

    pub fn dropout(&self) -> Dropout {
        Dropout {
            probability: probability(self.p, self.random_bits),
            scale_mode: ScaleMode::Classic,
            seed: 0,
            subsequence: 0,
            element_offset: 0,
        }
    }

    pub fn factor_bits(&self) -> u32 {
        hex32(&self.factor_bits)
    }
}

#[derive(Deserialize)]
pub struct DigestCase {
    dtype: String,
    n: u32,
    p: f64,
    seed: String,
    subsequence: String,
    element_offset: String,
    random_bits: u32,
    input_rule: String,
    pub kept: u64,
    pub output_sha256: String,
    pub bit_mask_sha256: String,
}

pub fn digests() -> Vec<DigestCase> {
    let file: File<DigestCase> = serde_json::from_str(include_str!("../vectors/digests_v1.json")).unwrap();
    file.cases
}

impl DigestCase {
    pub fn dropout(&self) -> Dropout {
        let place = [&self.seed, &self.subsequence, &self.element_offset];
        inverted(probability(self.p, self.random_bits), place)
    }

    pub fn input(&self) -> Vec<f32> {
        assert_eq!(self.dtype, "f32");
        assert_eq!(self.input_rule, "bits of element i = (i * 2654435761 + 12345) mod 2^32");
        (0..self.n)
            .map(|i| f32::from_bits(i.wrapping_mul(2_654_435_761).wrapping_add(12_345)))
            .collect()
    }
}

#[derive(Debug, Deserialize)]
pub struct Fused {
    pub name: String,
    dtype: String,
    pub rows: usize,
    pub cols: usize,
    p: f64,
    seed: String,
    subsequence: String,
    element_offset: String,
    random_bits: u32,
    pub input: Vec<String>,
    pub bias: Option<Vec<String>>,
    pub residual: Option<Vec<String>>,
    pub output: Vec<String>,
}

pub fn fused() -> Vec<Fused> {
    let file: File<Fused> = serde_json::from_str(include_str!("../vectors/fused_v1.json")).unwrap();
    file.cases
}

impl Fused {
    pub fn dtype(&self) -> DType {
        dtype(&self.dtype)
    }

    pub fn dropout(&self) -> Dropout {
        let place = [&self.seed, &self.subsequence, &self.element_offset];
        inverted(probability(self.p, self.random_bits), place)
    }
}

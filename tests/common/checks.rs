//! The checks that every path has to pass, one function a table of vectors.

use half::{bf16, f16};
use sha2::{Digest, Sha256};
use wgpu_dropout::{DType, Element, IndexMap, Neighbours, ScaleMode, SliceError, bit_mask_words};

use super::Bits;
use super::backend::Backend;
use super::vectors::{self, Case};

/// Every case of `dropout_v1.json` without an index map, through every operation.
pub fn dropout_vectors(backend: &impl Backend) {
    let cases = vectors::dropout();
    assert_eq!(cases.len(), 192);
    for case in &cases {
        dropout_case_of_any_type(backend, case);
    }
}

/// Those with an index map, on the backends that go by one.
pub fn mapped_vectors<B: Backend>(over: impl Fn(IndexMap) -> B) {
    let cases = vectors::mapped();
    assert_eq!(cases.len(), 7);
    for case in &cases {
        dropout_case_of_any_type(&over(case.map()), case);
    }
}

/// Every case of `fused_v1.json`.
pub fn fused_vectors(backend: &impl Backend) {
    fn check<T: Element + Bits>(backend: &impl Backend, case: &vectors::Fused) {
        let x: Vec<T> = T::from_hex(&case.input);
        assert_eq!(x.len(), case.rows * case.cols);
        let bias = case.bias.as_ref().map(|bias| T::from_hex(bias));
        let residual = case.residual.as_ref().map(|residual| T::from_hex(residual));
        let neighbours = Neighbours {
            bias: bias.as_deref(),
            residual: residual.as_deref(),
        };
        let mut y = x.clone();
        backend.forward_fused(&case.dropout(), &x, neighbours, &mut y).unwrap();
        let context = format!("{}, {}", case.name, backend.name());
        T::assert_same(&y, &T::from_hex(&case.output), &context);
    }
    let cases = vectors::fused();
    assert_eq!(cases.len(), 15);
    for case in &cases {
        match case.dtype() {
            DType::F32 => check::<f32>(backend, case),
            DType::F16 => check::<f16>(backend, case),
            DType::Bf16 => check::<bf16>(backend, case),
        }
    }
}

fn dropout_case_of_any_type(backend: &impl Backend, case: &Case) {
    match case.dtype() {
        DType::F32 => dropout_case::<f32>(backend, case),
        DType::F16 => dropout_case::<f16>(backend, case),
        DType::Bf16 => dropout_case::<bf16>(backend, case),
    }
}

fn dropout_case<T: Element + Bits>(backend: &impl Backend, case: &Case) {
    let dropout = &case.dropout();
    let probability = dropout.probability;
    assert_eq!(probability.threshold(), case.threshold(), "{}", case.name);
    assert_eq!(
        probability.training_scale(dropout.scale_mode).to_bits(),
        case.scale_bits(),
        "{}",
        case.name
    );

    let context = format!("{}: {}", backend.name(), case.name);
    let x: Vec<T> = T::from_hex(&case.input);
    let expected: Vec<T> = T::from_hex(&case.output);
    let (bits, bytes) = (case.bit_mask_words(), case.byte_mask_bytes());
    let blank = vec![T::from_bits32(0xca); x.len()];
    let same = |y: &[T]| T::assert_same(y, &expected, &context);

    let mut y = blank.clone();
    backend.forward(dropout, &x, &mut y).unwrap();
    same(&y);
    let mut y = x.clone();
    backend.forward_in_place(dropout, &mut y).unwrap();
    same(&y);
    let (mut y, mut mask) = (blank.clone(), vec![0xca; bits.len()]);
    backend.forward_with_bit_mask(dropout, &x, &mut y, &mut mask).unwrap();
    same(&y);
    assert_eq!(mask, bits, "{context}");
    let (mut y, mut mask) = (blank.clone(), vec![0xca; bytes.len()]);
    backend.forward_with_byte_mask(dropout, &x, &mut y, &mut mask).unwrap();
    same(&y);
    assert_eq!(mask, bytes, "{context}");

    let mut dx = blank.clone();
    backend.backward(dropout, &x, &mut dx).unwrap();
    same(&dx);
    let mut dx = x.clone();
    backend.backward_in_place(dropout, &mut dx).unwrap();
    same(&dx);
    let mut dx = blank.clone();
    backend.backward_from_bit_mask(dropout, &x, &bits, &mut dx).unwrap();
    same(&dx);
    let mut dx = x.clone();
    backend
        .backward_from_bit_mask_in_place(dropout, &mut dx, &bits)
        .unwrap();
    same(&dx);
    let mut dx = blank;
    backend.backward_from_byte_mask(dropout, &x, &bytes, &mut dx).unwrap();
    same(&dx);
    let mut dx = x.clone();
    backend
        .backward_from_byte_mask_in_place(dropout, &mut dx, &bytes)
        .unwrap();
    same(&dx);

    let mut mask = vec![0xca; bits.len()];
    backend.bit_mask(dropout, x.len(), &mut mask).unwrap();
    assert_eq!(mask, bits, "{context}");
    let mut mask = vec![0xca; bytes.len()];
    backend.byte_mask(dropout, &mut mask).unwrap();
    assert_eq!(mask, bytes, "{context}");
}

/// Every case of `inference_v1.json`, and inverted dropout's identity on the same inputs.
pub fn inference_vectors(backend: &impl Backend) {
    let cases = vectors::inference();
    assert_eq!(cases.len(), 45);
    for case in &cases {
        match case.dtype() {
            DType::F32 => inference_case::<f32>(backend, case),
            DType::F16 => inference_case::<f16>(backend, case),
            DType::Bf16 => inference_case::<bf16>(backend, case),
        }
    }
}

fn inference_case<T: Element + Bits>(backend: &impl Backend, case: &vectors::Inference) {
    let dropout = case.dropout();
    let context = format!("{}, {dropout:?}", backend.name());
    let x: Vec<T> = T::from_hex(&case.input);
    let expected: Vec<T> = T::from_hex(&case.output);
    let factor = dropout.probability.inference_scale(ScaleMode::Classic).unwrap();
    assert_eq!(factor.to_bits(), case.factor_bits(), "{context}");
    for (dropout, expected) in [
        (dropout, &expected),
        // Every bit as it is, signalling NaNs too.
        (dropout.with_scale_mode(ScaleMode::Inverted), &x),
    ] {
        let mut y = vec![T::from_bits32(0xca); x.len()];
        backend.inference(&dropout, &x, &mut y).unwrap();
        T::assert_same(&y, expected, &context);
        let mut y = x.clone();
        backend.inference_in_place(&dropout, &mut y).unwrap();
        T::assert_same(&y, expected, &context);
    }
}

/// Of words as they lie in a file: little-endian, whatever the machine.
fn sha256(words: impl Iterator<Item = u32>) -> String {
    use std::fmt::Write as _;
    let bytes: Vec<u8> = words.flat_map(u32::to_le_bytes).collect();
    Sha256::digest(bytes).iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    })
}

/// Every case of `digests_v1.json`: larger tensors.
pub fn digests(backend: &impl Backend) {
    let cases = vectors::digests();
    assert_eq!(cases.len(), 4);
    for case in &cases {
        let dropout = case.dropout();
        let x = case.input();
        let mut y = vec![0.0f32; x.len()];
        let mut mask = vec![0; bit_mask_words(x.len() as u64) as usize];
        backend.forward_with_bit_mask(&dropout, &x, &mut y, &mut mask).unwrap();
        let context = format!("{}, {dropout:?}", backend.name());
        assert_eq!(sha256(y.iter().map(|y| y.to_bits())), case.output_sha256, "{context}");
        assert_eq!(sha256(mask.iter().copied()), case.bit_mask_sha256, "{context}");
        let kept: u64 = mask.iter().map(|word| u64::from(word.count_ones())).sum();
        assert_eq!(kept, case.kept, "{context}");
    }
}

/// Errors over slices: typed, and before anything is written.
pub fn slice_errors(backend: &impl Backend) {
    let dropout = wgpu_dropout::Dropout::new(0.5, 0).unwrap();
    let x = [1.0f32; 4];
    let (mut y, mut short) = ([7.0f32; 4], [7.0f32; 3]);
    let (mut bits, mut bytes, mut word) = ([7u32; 2], [7u8; 3], [7u32; 1]);
    let message = |result: Result<(), Box<dyn std::error::Error>>| result.unwrap_err().to_string();

    let y_short = "y has 3 elements, but 4 elements need exactly 4; resize it";
    let dx_short = "dx has 3 elements, but 4 elements need exactly 4; resize it";
    let bits_long = "mask has 2 words, but 4 elements need exactly 1; resize it";
    let bytes_short = "mask has 3 bytes, but 4 elements need exactly 4; resize it";
    assert_eq!(message(backend.forward(&dropout, &x, &mut short)), y_short);
    assert_eq!(message(backend.inference(&dropout, &x, &mut short)), y_short);
    assert_eq!(
        message(backend.forward_with_bit_mask(&dropout, &x, &mut short, &mut word)),
        y_short
    );
    assert_eq!(
        message(backend.forward_with_byte_mask(&dropout, &x, &mut short, &mut [7; 4])),
        y_short
    );
    assert_eq!(message(backend.backward(&dropout, &x, &mut short)), dx_short);
    assert_eq!(
        message(backend.backward_from_bit_mask(&dropout, &x, &word, &mut short)),
        dx_short
    );
    assert_eq!(
        message(backend.backward_from_byte_mask(&dropout, &x, &[1; 4], &mut short)),
        dx_short
    );
    assert_eq!(
        message(backend.forward_with_bit_mask(&dropout, &x, &mut y, &mut bits)),
        bits_long
    );
    assert_eq!(
        message(backend.backward_from_bit_mask(&dropout, &x, &bits, &mut y)),
        bits_long
    );
    assert_eq!(
        message(backend.backward_from_bit_mask_in_place(&dropout, &mut y, &bits)),
        bits_long
    );
    assert_eq!(message(backend.bit_mask(&dropout, 4, &mut bits)), bits_long);
    assert_eq!(
        message(backend.forward_with_byte_mask(&dropout, &x, &mut y, &mut bytes)),
        bytes_short
    );
    assert_eq!(
        message(backend.backward_from_byte_mask(&dropout, &x, &bytes, &mut y)),
        bytes_short
    );
    assert_eq!(
        message(backend.backward_from_byte_mask_in_place(&dropout, &mut y, &bytes)),
        bytes_short
    );

    // Three elements fit before index 2^64, four do not.
    let at_end = dropout.with_element_offset(u64::MAX - 2);
    let past_end = SliceError::from(at_end.check_len(4).unwrap_err()).to_string();
    assert_eq!(message(backend.forward(&at_end, &x, &mut y)), past_end);
    assert_eq!(message(backend.forward_in_place(&at_end, &mut y)), past_end);
    assert_eq!(
        message(backend.forward_with_bit_mask(&at_end, &x, &mut y, &mut word)),
        past_end
    );
    assert_eq!(
        message(backend.forward_with_byte_mask(&at_end, &x, &mut y, &mut [7; 4])),
        past_end
    );
    assert_eq!(message(backend.backward(&at_end, &x, &mut y)), past_end);
    assert_eq!(message(backend.backward_in_place(&at_end, &mut y)), past_end);
    assert_eq!(
        message(backend.backward_from_bit_mask(&at_end, &x, &word, &mut y)),
        past_end
    );
    assert_eq!(
        message(backend.backward_from_byte_mask(&at_end, &x, &[1; 4], &mut y)),
        past_end
    );
    assert_eq!(message(backend.bit_mask(&at_end, 4, &mut word)), past_end);
    let mut four = [7u8; 4];
    assert_eq!(message(backend.byte_mask(&at_end, &mut four)), past_end);
    backend.byte_mask(&at_end, &mut bytes).unwrap();
    assert!(bytes.iter().all(|&byte| byte <= 1));

    f32::assert_same(&y, &[7.0; 4], "untouched");
    f32::assert_same(&short, &[7.0; 3], "untouched");
    assert_eq!((bits, word, four), ([7; 2], [7; 1], [7; 4]));
}

/// A stored mask is used as it is, also where it is not the one that the call would draw; any byte but 0 keeps.
pub fn a_stored_mask_decides(backend: &impl Backend) {
    let dropout = wgpu_dropout::Dropout::new(0.5, 0).unwrap();
    let name = backend.name();
    // Over tiles, words and parallel tasks.
    for elements in [1usize, 3, 70, 70_003] {
        let bytes: Vec<u8> = (0..elements).map(|i| [1, 0, 2, 255, 0][(i + i / 64) % 5]).collect();
        let mut bits = vec![0u32; bit_mask_words(elements as u64) as usize];
        for (i, _) in bytes.iter().enumerate().filter(|(_, byte)| **byte != 0) {
            bits[i / 32] |= 1 << (i % 32);
        }
        let dy: Vec<f32> = (0..elements).map(|i| 1.0 + (i % 251) as f32).collect();
        let expected: Vec<f32> = dy
            .iter()
            .zip(&bytes)
            .map(|(&dy, &byte)| if byte == 0 { 0.0 } else { dy * 2.0 })
            .collect();
        let mut dx = vec![9.0; elements];
        backend.backward_from_bit_mask(&dropout, &dy, &bits, &mut dx).unwrap();
        f32::assert_same(&dx, &expected, &format!("{name}: bits"));
        let mut dx = vec![9.0; elements];
        backend.backward_from_byte_mask(&dropout, &dy, &bytes, &mut dx).unwrap();
        f32::assert_same(&dx, &expected, &format!("{name}: bytes"));
        let mut dx = dy.clone();
        backend
            .backward_from_bit_mask_in_place(&dropout, &mut dx, &bits)
            .unwrap();
        f32::assert_same(&dx, &expected, &format!("{name}: bits in place"));
        let mut dx = dy.clone();
        backend
            .backward_from_byte_mask_in_place(&dropout, &mut dx, &bytes)
            .unwrap();
        f32::assert_same(&dx, &expected, &format!("{name}: bytes in place"));
    }
}

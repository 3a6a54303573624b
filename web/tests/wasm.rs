//! In a real browser: `cargo xtask test-web`. The CPU path in WebAssembly, and the kernels on the browser's WebGPU.

#![cfg(target_family = "wasm")]
#![allow(clippy::unwrap_used, reason = "tests fail loudly")]

use serde_json::Value;
use wasm_bindgen::JsError;
use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};
use wgpu_dropout_web::{Dropout, Gpu};

wasm_bindgen_test_configure!(run_in_browser);

// .cargo/config.toml asks for them, and nothing else would say that they were lost.
const _: () = assert!(
    cfg!(target_feature = "simd128"),
    "built without WebAssembly's vector instructions"
);

fn shown<T>(result: Result<T, JsError>) -> T {
    result
        .map_err(|error| wasm_bindgen::JsValue::from(error))
        .expect("no error")
}

fn hex64(text: &Value) -> u64 {
    u64::from_str_radix(text.as_str().unwrap(), 16).unwrap()
}

fn floats(patterns: &Value) -> Vec<f32> {
    let patterns = patterns.as_array().unwrap().iter();
    patterns.map(|bits| f32::from_bits(hex64(bits) as u32)).collect()
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// Calls of f32 without a map, with input and output.
fn vectors() -> Vec<(String, Dropout, Vec<f32>, Vec<f32>)> {
    let file: Value = serde_json::from_str(include_str!("../../tests/vectors/dropout_v1.json")).unwrap();
    let cases = file["cases"].as_array().unwrap().iter();
    let cases: Vec<_> = cases
        .filter(|case| case["dtype"] == "f32" && case.get("mask_strides").is_none())
        .map(|case| {
            let call = shown(Dropout::new(case["p"].as_f64().unwrap(), hex64(&case["seed"])))
                .with_subsequence(hex64(&case["subsequence"]))
                .with_element_offset(hex64(&case["element_offset"]));
            let call = shown(call.with_random_bits(case["random_bits"].as_u64().unwrap() as u32));
            let call = if case["scale_mode"] == "classic" {
                call.with_classic_scale()
            } else {
                call
            };
            let name = case["name"].as_str().unwrap().to_owned();
            (name, call, floats(&case["input"]), floats(&case["output"]))
        })
        .collect();
    assert!(cases.len() > 60);
    cases
}

#[wasm_bindgen_test]
fn vectors_on_the_cpu() {
    for (name, call, x, y) in vectors() {
        assert_eq!(bits(&shown(call.forward(&x))), bits(&y), "{name}");
        assert_eq!(bits(&shown(call.backward(&x))), bits(&y), "{name}");
        let dropped = shown(call.mask(x.len())).iter().filter(|&&kept| kept == 0).count();
        assert!(y.iter().filter(|y| y.to_bits() == 0).count() >= dropped, "{name}");
    }
}

#[wasm_bindgen_test]
async fn vectors_on_the_gpu() {
    let gpu = shown(Gpu::request().await);
    for (name, call, x, y) in vectors() {
        assert_eq!(bits(&shown(gpu.forward(&call, x.clone()).await)), bits(&y), "{name}");
        assert_eq!(bits(&shown(gpu.backward(&call, x).await)), bits(&y), "{name}");
    }
}

#[wasm_bindgen_test]
async fn channels_and_long_tensors() {
    let gpu = shown(Gpu::request().await);
    let shape = [3, 100, 1000];
    let call = shown(Dropout::new(0.4, 7));
    let channels = shown(call.with_noise_shape(&shape, &[3, 100, 1]));
    let x: Vec<f32> = (0..300_000u32)
        .map(|i| f32::from_bits(i.wrapping_mul(2_654_435_761)))
        .collect();
    for call in [&call, &channels] {
        let on_cpu = shown(call.forward(&x));
        assert_eq!(bits(&shown(gpu.forward(call, x.clone()).await)), bits(&on_cpu));
    }
    let mask = shown(channels.mask(300_000));
    assert!(mask.chunks(1000).all(|row| row.iter().all(|&kept| kept == row[0])));
}

#[wasm_bindgen_test]
async fn bad_input_is_an_error() {
    assert!(Dropout::new(1.5, 0).is_err() && Dropout::new(f64::NAN, 0).is_err());
    let call = shown(Dropout::new(0.5, 1));
    assert!(call.with_random_bits(12).is_err());
    assert!(call.with_noise_shape(&[2, 3], &[2, 2]).is_err());
    let mapped = shown(call.with_noise_shape(&[2, 3], &[2, 1]));
    assert!(mapped.forward(&[1.0; 5]).is_err(), "a shape of six elements");
    let past = call.with_element_offset(u64::MAX - 3);
    assert!(past.forward(&[1.0; 8]).is_err());
    let gpu = shown(Gpu::request().await);
    assert!(gpu.forward(&past, vec![1.0; 8]).await.is_err());
    assert!(gpu.measure(&call, "f64", 8).await.is_err());
    assert!(shown(gpu.forward(&call, Vec::new()).await).is_empty());
}

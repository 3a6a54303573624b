//! Inside Burn, on every adapter and on its CPU backend: bits of the reference, gradients, order, memory, the layer.
//!
//! Needs an adapter. `WGPU_DROPOUT_ADAPTERS` names those that must be there, as for the library's own GPU tests.

#![allow(clippy::unwrap_used, reason = "tests fail loudly")]

use burn::backend::wgpu::WgpuSetup;
use burn::config::Config as _;
use burn::module::Module as _;
use burn::tensor::{DType, Device, Distribution, Element, Tensor, TensorData};
use libtest_mimic::{Arguments, Failed, Trial};
use wgpu_dropout::gpu::blocking;
use wgpu_dropout::half::{bf16, f16};
use wgpu_dropout::{
    Dropout as Call, DropoutState, Element as Stored, Probability, RandomBits, ScaleMode, reference, wgpu,
};
use wgpu_dropout_burn::{Dropout, DropoutConfig, DropoutError, dropout, wgpu_dropout};

type Check = fn(&Device);

fn main() {
    let mut arguments = Arguments::from_args();
    // What a device has in use is counted for the whole of it.
    arguments.test_threads = Some(1);
    let mut devices: Vec<(String, Device)> = blocking::adapters().unwrap().iter().map(on_adapter).collect();
    let found: Vec<String> = devices.iter().map(|(name, _)| name.clone()).collect();
    devices.push(("CPU".to_owned(), Device::flex()));
    let mut trials = vec![Trial::test("adapters", move || expected_adapters(&found))];
    for (name, device) in devices {
        let checks: [(&str, Check); 9] = [
            ("bits are the reference's", bits),
            ("results are in order with Burn's own", order),
            ("gradients", gradients),
            ("views", views),
            ("memory kept for backward", memory),
            ("threads", threads),
            ("gradient checkpointing", checkpointing),
            ("the layer", layer),
            ("errors", errors),
        ];
        for (check, run) in checks {
            let device = device.clone();
            trials.push(Trial::test(format!("{name}: {check}"), move || {
                run(&device);
                Ok(())
            }));
        }
    }
    libtest_mimic::run(&arguments, trials).exit();
}

/// A device of Burn's on an adapter of ours, with all that the adapter has, as Burn requests its own.
fn on_adapter(adapter: &wgpu::Adapter) -> (String, Device) {
    let info = adapter.get_info();
    let (device, queue) = pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor {
        required_features: adapter.features() - wgpu::Features::all_experimental_mask(),
        required_limits: adapter.limits(),
        ..wgpu::DeviceDescriptor::default()
    }))
    .unwrap();
    let setup = WgpuSetup {
        // Not asked for anything once there is a device.
        instance: wgpu::Instance::default(),
        adapter: adapter.clone(),
        device,
        queue,
        backend: info.backend,
    };
    let device = Device::wgpu_options().setup(setup).init().unwrap();
    (format!("{}/{}", info.name.to_lowercase(), info.backend), device)
}

fn expected_adapters(found: &[String]) -> Result<(), Failed> {
    let expected = std::env::var("WGPU_DROPOUT_ADAPTERS").unwrap_or_default();
    for wanted in expected.split(',').filter(|wanted| !wanted.is_empty()) {
        let (name, backend) = wanted.split_once('/').ok_or("an adapter is name/backend")?;
        if !found
            .iter()
            .any(|found| found.contains(name) && found.ends_with(backend))
        {
            return Err(format!("{wanted} is not among {found:?}").into());
        }
    }
    if found.is_empty() {
        return Err("no adapter".into());
    }
    Ok(())
}

fn call() -> Call {
    Call::new(0.3, 7).unwrap().with_subsequence(2)
}

/// Numbers of every kind.
fn values(len: usize) -> Vec<f32> {
    let special = [
        f32::NAN,
        f32::INFINITY,
        f32::NEG_INFINITY,
        -0.0,
        0.0,
        1e-40,
        -1e-39,
        f32::MAX,
    ];
    let ordinary = (0..len).map(|i| (i as f32 - 100.0) / 8.0);
    special.into_iter().chain(ordinary).take(len).collect()
}

fn tensor<T: Stored + Element>(values: &[T], device: &Device) -> Tensor<1> {
    let data = TensorData::new(values.to_vec(), [values.len()]);
    Tensor::from_data(data, (device, <T as Element>::dtype()))
}

fn assert_bits<T: Stored + Element, const D: usize>(tensor: Tensor<D>, expected: &[T], context: &str) {
    let data = tensor.into_data();
    assert_eq!(data.dtype(), <T as Element>::dtype(), "{context}");
    let bytes: &[u8] = data.bytes();
    let expected_bytes = bytemuck::cast_slice::<T, u8>(expected);
    let first = bytes.iter().zip(expected_bytes).position(|(a, b)| a != b);
    assert_eq!(bytes.len(), expected_bytes.len(), "{context}");
    assert_eq!(
        first.map(|byte| byte / size_of::<T>()),
        None,
        "first element that differs: {context}"
    );
}

fn expected<T: Stored>(call: &Call, x: &[T]) -> Vec<T> {
    let mut y = x.to_vec();
    reference::forward(call, x, &mut y).unwrap();
    y
}

fn bits(device: &Device) {
    fn check<T: Stored + Element>(device: &Device, convert: fn(f32) -> T) {
        for len in [0, 1, 2, 3, 16, 17, 31, 255, 1000, 70_001] {
            let x: Vec<T> = values(len).into_iter().map(convert).collect();
            for (random_bits, offset) in [
                (RandomBits::B32, 0),
                (RandomBits::B32, (1 << 34) - 5),
                (RandomBits::B16, 16),
                (RandomBits::B8, 1),
            ] {
                let call = call()
                    .with_probability(Probability::new(0.3, random_bits).unwrap())
                    .with_element_offset(offset);
                let context = format!("{} x {len}, {call:?}", T::DTYPE);
                let tensor = tensor(&x, device);
                // Beside the input, which lives on; then in its place.
                assert_bits(dropout(tensor.clone(), &call).unwrap(), &expected(&call, &x), &context);
                assert_bits(tensor.clone(), &x, &context);
                assert_bits(dropout(tensor, &call).unwrap(), &expected(&call, &x), &context);
            }
        }
    }
    check::<f32>(device, |x| x);
    check::<f16>(device, f16::from_f32);
    check::<bf16>(device, bf16::from_f32);
    let classic = call().with_scale_mode(ScaleMode::Classic);
    let x = values(100);
    assert_bits(
        dropout(tensor(&x, device), &classic).unwrap(),
        &expected(&classic, &x),
        "classic",
    );
}

/// Operations of Burn's before and behind, with nothing waited for between: products with powers of two are exact.
fn order(device: &Device) {
    let x: Vec<f32> = (0..300_000).map(|i| i as f32).collect();
    for step in 0..20 {
        let call = call().with_subsequence(step);
        let y = dropout(tensor(&x, device) * 2.0, &call).unwrap() * 4.0;
        let doubled: Vec<f32> = x.iter().map(|x| x * 2.0).collect();
        let by_hand: Vec<f32> = expected(&call, &doubled).iter().map(|y| y * 4.0).collect();
        assert_bits(y, &by_hand, "between products");
    }
}

fn gradients(device: &Device) {
    let device = device.clone().autodiff();
    for len in [1, 1000, 30_003] {
        let x: Vec<f32> = (0..len).map(|i| i as f32 - 7.0).collect();
        let weight: Vec<f32> = (0..len).map(|i| (i % 23) as f32 - 3.0).collect();
        let leaf = tensor(&x, &device).require_grad();
        let y = dropout(leaf.clone(), &call()).unwrap() * tensor(&weight, &device);
        let gradients = y.backward();
        let mut backward = weight.clone();
        reference::backward(&call(), &weight, &mut backward).unwrap();
        assert_bits(leaf.grad(&gradients).unwrap(), &backward, "dx");
    }
}

fn views(device: &Device) {
    let x: Vec<f32> = (0..6 * 7 * 11).map(|i| i as f32 + 1.0).collect();
    let tensor = Tensor::<3>::from_data(TensorData::new(x, [6, 7, 11]), device);
    let views = [
        tensor.clone().swap_dims(0, 2),
        tensor.clone().permute([1, 2, 0]),
        tensor.clone().slice([1..5, 2..7, 0..11]),
        tensor.clone().slice([3..4, 0..7, 0..11]),
        tensor.slice([0..1, 0..7, 0..11]).expand([5, 7, 11]),
    ];
    for view in views {
        let copy = view.clone().into_data().try_to_vec::<f32>().unwrap();
        let y = dropout(view.clone(), &call()).unwrap();
        assert_eq!(y.dims(), view.dims());
        assert_bits(y, &expected(&call(), &copy), "a view");
    }
}

/// The graph keeps a few integers: between forward and backward there is the output, and nothing beside it.
fn memory(device: &Device) {
    const LEN: usize = 1 << 20;
    // What the graph keeps beside y, as the README says.
    assert_eq!(size_of::<Call>(), 56);
    let device = device.clone().autodiff();
    let in_use = || {
        device.sync().unwrap();
        device.memory_pool_usage().map(|usage| usage.bytes_in_use)
    };
    let x = Tensor::<1>::random([LEN], Distribution::Default, &device).require_grad();
    let Some(before) = in_use() else {
        return; // the CPU backend does not report it
    };
    let y = dropout(x.clone(), &call()).unwrap();
    let kept = in_use().unwrap() - before;
    // Some of the pool's padding, and the parameters.
    assert!(
        (4 * LEN as u64..4 * LEN as u64 + 4096).contains(&kept),
        "{kept} bytes beside y alone"
    );
    let gradients = y.backward();
    assert_eq!(x.grad(&gradients).unwrap().dims(), [LEN]);
}

fn threads(device: &Device) {
    std::thread::scope(|scope| {
        for subsequence in 0..4 {
            scope.spawn(move || {
                let call = call().with_subsequence(subsequence);
                let x: Vec<f32> = (0..50_000).map(|i| i as f32).collect();
                for _ in 0..5 {
                    assert_bits(
                        dropout(tensor(&x, device), &call).unwrap(),
                        &expected(&call, &x),
                        "a thread's",
                    );
                }
            });
        }
    });
}

/// Recomputed instead of kept: the recomputation draws the same mask.
fn checkpointing(device: &Device) {
    let plain = device.clone().autodiff();
    let recomputing = device.clone().autodiff().gradient_checkpointing();
    let gradient = |device: &Device| {
        let x: Vec<f32> = (0..5000).map(|i| i as f32 / 1000.0).collect();
        let leaf = tensor(&x, device).require_grad();
        let y = dropout(leaf.clone().exp(), &call()).unwrap();
        let gradients = (y.clone() * y.sin()).backward();
        leaf.grad(&gradients).unwrap().into_data().try_to_vec::<f32>().unwrap()
    };
    assert_bits(tensor(&gradient(&recomputing), device), &gradient(&plain), "recomputed");
}

fn layer(device: &Device) {
    let training = device.clone().autodiff();
    let x = values(1000);
    let of = |subsequence| expected(&Call::new(0.25, 11).unwrap().with_subsequence(subsequence), &x);
    let config = DropoutConfig::new(0.25).with_seed(Some(11));
    let layer = config.init();

    // Each call has its own mask; inference and frozen layers have none, and count for nothing.
    assert_bits(layer.forward(tensor(&x, &training)), &of(0), "first call");
    assert_bits(layer.forward(tensor(&x, device)), &x, "inference");
    assert_bits(layer.clone().freeze().forward(tensor(&x, &training)), &x, "frozen");
    assert_bits(layer.clone().forward(tensor(&x, &training)), &of(1), "a clone");

    // A checkpoint, and both runs on from it.
    let state = layer.state();
    assert_bits(layer.forward(tensor(&x, &training)), &of(2), "third call");
    let resumed = config.init();
    resumed.set_state(state.clone());
    assert_bits(resumed.forward(tensor(&x, &training)), &of(2), "resumed");
    assert_eq!(state, {
        let mut state = DropoutState::new(0.25, 11).unwrap();
        state.next_calls(2).unwrap();
        state
    });

    // With fewer random bits, and another p from then on.
    let wide = Probability::new(0.25, RandomBits::B16).unwrap();
    let mut changed = config.init();
    changed.set_state(DropoutState::of(wide, 5).with_scale_mode(ScaleMode::Classic));
    changed.prob = 0.5;
    let call = Call::new(0.0, 5).unwrap();
    let call = call.with_probability(Probability::new(0.5, RandomBits::B16).unwrap());
    assert_bits(changed.forward(tensor(&x, &training)), &expected(&call, &x), "16 bits");

    // Burn's own configuration is one of ours.
    let theirs = burn::nn::DropoutConfig::new(0.25).to_string();
    let ours = DropoutConfig::load_binary(theirs.as_bytes()).unwrap();
    assert_eq!((ours.prob, ours.seed), (0.25, None));

    // Without a seed each layer has its own; p = 0 and 1 are what they say.
    let of_config = |config: &DropoutConfig| {
        let data = config.init().forward(tensor(&[1.0f32; 200], &training)).into_data();
        data.try_to_vec::<f32>().unwrap()
    };
    assert_ne!(of_config(&DropoutConfig::new(0.5)), of_config(&DropoutConfig::new(0.5)));
    assert_eq!(of_config(&DropoutConfig::new(0.0)), [1.0; 200]);
    assert_eq!(of_config(&DropoutConfig::new(1.0)), [0.0; 200]);
    assert_eq!(config.init().to_string(), "Dropout {prob: 0.25, seed: 11}");
    assert_eq!(
        config.init().freeze().to_string(),
        "Dropout {prob: 0.25, seed: 11, training: disabled}"
    );
    is_send_and_sync(&layer);
}

fn is_send_and_sync(_: &(impl Send + Sync)) {}

fn errors(device: &Device) {
    let x = tensor(&[1.0f32; 4], device);
    let far = call().with_element_offset(u64::MAX - 2);
    let error = dropout(x.clone(), &far).unwrap_err();
    assert!(error.to_string().contains("2^64"), "{error}");
    if device.supports_dtype(DType::F64) {
        let error = dropout(x.cast(DType::F64), &call()).unwrap_err();
        assert_eq!(error, DropoutError::DType(DType::F64));
    }
    for p in [-10.0, 1.5, f64::NAN, f64::INFINITY] {
        let message = std::panic::catch_unwind(|| DropoutConfig::new(p).init()).unwrap_err();
        let message = message.downcast_ref::<String>().unwrap();
        assert!(message.contains(&format!("p is {p}")), "{message}");
    }
    let _: fn(&Dropout) -> DropoutState = Dropout::state;
}

//! Inside candle: bits of the reference, gradients, views, errors.

#![allow(clippy::unwrap_used, reason = "tests fail loudly")]

use candle_core::{D, DType, Device, ModuleT, Tensor, Var, WithDType};
use wgpu_dropout::half::{bf16, f16};
use wgpu_dropout::{Dropout as Call, DropoutState, Element, Probability, RandomBits, ScaleMode, reference};
use wgpu_dropout_candle::{Dropout, apply, dropout, wgpu_dropout};

fn call() -> Call {
    Call::new(0.3, 7).unwrap().with_subsequence(2)
}

fn values(len: usize) -> Vec<f32> {
    (0..len).map(|i| (i as f32 - 100.0) / 8.0).collect()
}

fn same_bits<T: Element>(a: &[T], b: &[T]) -> bool {
    a.len() == b.len() && bytemuck::cast_slice::<T, u8>(a) == bytemuck::cast_slice::<T, u8>(b)
}

fn expected<T: Element>(call: &Call, x: &[T]) -> Vec<T> {
    let mut y = x.to_vec();
    reference::forward(call, x, &mut y).unwrap();
    y
}

fn check_type<T: Element + WithDType>(x: &[T]) {
    for random_bits in RandomBits::ALL {
        for element_offset in [0, 5, u64::MAX - 10_000] {
            let call = call()
                .with_probability(Probability::new(0.3, random_bits).unwrap())
                .with_element_offset(element_offset);
            let tensor = Tensor::from_slice(x, x.len(), &Device::Cpu).unwrap();
            let y = apply(&tensor, &call).unwrap().to_vec1::<T>().unwrap();
            assert!(same_bits(&y, &expected(&call, x)), "{call:?}");
        }
    }
}

#[test]
fn bits_are_the_references() {
    let special = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -0.0, 1e-40, f32::MAX];
    let x: Vec<f32> = special.iter().copied().cycle().take(600).chain(values(1003)).collect();
    check_type(&x);
    check_type(&x.iter().map(|&x| f16::from_f32(x)).collect::<Vec<_>>());
    check_type(&x.iter().map(|&x| bf16::from_f32(x)).collect::<Vec<_>>());
}

#[test]
fn gradient_is_the_mask_of_the_forward_pass() {
    let x = Var::from_vec(values(10_001), 10_001, &Device::Cpu).unwrap();
    let weight = Tensor::arange(0f32, 10_001f32, &Device::Cpu).unwrap();
    let y = apply(&x, &call()).unwrap();
    let gradients = (y * &weight).unwrap().sum_all().unwrap().backward().unwrap();
    let dx = gradients.get(&x).unwrap().to_vec1::<f32>().unwrap();
    let mut backward = vec![0.0; dx.len()];
    reference::backward(&call(), &weight.to_vec1::<f32>().unwrap(), &mut backward).unwrap();
    assert!(same_bits(&dx, &backward));
    assert!(dx.iter().skip(1).any(|&dx| dx == 0.0) && dx.iter().any(|&dx| dx != 0.0));
}

#[test]
fn gradients_have_gradients() {
    // d/dx sum (mask x)^2 = 2 mask^2 x, whose own gradient, summed, is 2 mask^2.
    let x = Var::from_vec(values(64), 64, &Device::Cpu).unwrap();
    let mask = apply(&x.ones_like().unwrap(), &call()).unwrap();
    let y = apply(&x, &call()).unwrap().sqr().unwrap().sum_all().unwrap();
    let dx = y.backward().unwrap().get(&x).unwrap().to_vec1::<f32>().unwrap();
    let by_hand = ((mask.sqr().unwrap() * x.as_tensor()).unwrap() * 2.0).unwrap();
    for (dx, by_hand) in dx.iter().zip(by_hand.to_vec1::<f32>().unwrap()) {
        assert!((dx - by_hand).abs() <= 1e-5 * by_hand.abs());
    }
}

#[test]
fn views_get_the_mask_of_their_copies() {
    let x = Tensor::from_vec(values(4 * 6 * 10), (4, 6, 10), &Device::Cpu).unwrap();
    let views = [
        x.transpose(0, 2).unwrap(),
        x.narrow(1, 1, 3).unwrap(),
        x.get(2).unwrap(),
        x.narrow(0, 3, 1).unwrap().broadcast_as((5, 6, 10)).unwrap(),
        x.i_scalar(),
    ];
    for view in views {
        let y = apply(&view, &call()).unwrap();
        assert_eq!(y.dims(), view.dims());
        let copy = view.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let y = y.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert!(same_bits(&y, &expected(&call(), &copy)), "{:?}", view.layout());
    }
    // A gradient that is a view: that of a sum over a dimension is broadcast.
    let leaf = Var::from_tensor(&x).unwrap();
    let y = apply(&leaf, &call())
        .unwrap()
        .sum(D::Minus1)
        .unwrap()
        .sum_all()
        .unwrap();
    let dx = y.backward().unwrap().get(&leaf).unwrap().flatten_all().unwrap();
    let ones = vec![1.0f32; 240];
    assert!(same_bits(&dx.to_vec1::<f32>().unwrap(), &expected(&call(), &ones)));
}

trait Scalar {
    fn i_scalar(&self) -> Tensor;
}

impl Scalar for Tensor {
    /// One element, of no dimensions.
    fn i_scalar(&self) -> Tensor {
        self.get(1).unwrap().get(2).unwrap().get(3).unwrap()
    }
}

#[test]
fn empty_tensors_stay_empty() {
    let x = Tensor::zeros((0, 3), DType::F32, &Device::Cpu).unwrap();
    assert_eq!(apply(&x, &call()).unwrap().dims(), [0, 3]);
}

#[test]
fn a_layer_counts_its_calls() {
    let layer = Dropout::new(0.5f32, 3).unwrap();
    let x = Tensor::from_vec(values(100), 100, &Device::Cpu).unwrap();
    let of = |subsequence| {
        let call = Call::new(0.5, 3).unwrap().with_subsequence(subsequence);
        expected(&call, &values(100))
    };
    for subsequence in [0, 1] {
        let y = layer.forward(&x, true).unwrap().to_vec1::<f32>().unwrap();
        assert!(same_bits(&y, &of(subsequence)));
        // Inference counts for nothing.
        let same = layer.forward_t(&x, false).unwrap().to_vec1::<f32>().unwrap();
        assert!(same_bits(&same, &values(100)));
    }
    // A clone counts with it; one from its state goes on by itself.
    let y = layer.clone().forward(&x, true).unwrap().to_vec1::<f32>().unwrap();
    assert!(same_bits(&y, &of(2)));
    let resumed = Dropout::from_state(layer.state());
    for layer in [&layer, &resumed] {
        let y = layer.forward(&x, true).unwrap().to_vec1::<f32>().unwrap();
        assert!(same_bits(&y, &of(3)));
    }
    // The function is the first call.
    let y = dropout(&x, 0.5, 3).unwrap().to_vec1::<f32>().unwrap();
    assert!(same_bits(&y, &of(0)));
}

#[test]
fn classic_dropout_scales_at_inference() {
    let state = DropoutState::new(0.25, 1).unwrap().with_scale_mode(ScaleMode::Classic);
    let layer = Dropout::from_state(state);
    let x = Tensor::new(&[4f32, -8.0, f32::NAN], &Device::Cpu).unwrap();
    let y = layer.forward(&x, false).unwrap().to_vec1::<f32>().unwrap();
    assert_eq!(y[..2], [3.0, -6.0]);
    let kept = layer.forward(&x.ones_like().unwrap(), true).unwrap();
    assert!(kept.to_vec1::<f32>().unwrap().iter().all(|y| [0.0, 1.0].contains(y)));
}

#[test]
fn errors_say_what_to_do() {
    let x = Tensor::zeros(4, DType::F64, &Device::Cpu).unwrap();
    let error = dropout(&x, 0.5, 0).unwrap_err().to_string();
    assert!(error.contains("F64") && error.contains("to_dtype"), "{error}");
    let x = x.to_dtype(DType::F32).unwrap();
    for p in [-0.1, 1.1, f64::NAN] {
        let error = dropout(&x, p, 0).unwrap_err().to_string();
        assert!(error.contains(&p.to_string()), "{error}");
        assert!(Dropout::new(p, 0).is_err());
    }
    let error = apply(&x, &call().with_element_offset(u64::MAX - 2)).unwrap_err();
    assert!(error.to_string().contains("2^64"), "{error}");
    // What candle refuses and the contract defines.
    assert_eq!(dropout(&x, 1.0, 0).unwrap().to_vec1::<f32>().unwrap(), [0.0; 4]);
}

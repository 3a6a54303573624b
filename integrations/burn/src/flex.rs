//! Tensors of Burn's CPU backend: the CPU path.

use burn::tensor::{Bytes, DType};
use burn_flex::{Flex, FlexTensor, Layout};
use wgpu_dropout::half::{bf16, f16};
use wgpu_dropout::{Dropout, Element, cpu};

use crate::DropoutOps;

impl DropoutOps for Flex {
    fn dropout(x: FlexTensor, call: Dropout) -> FlexTensor {
        match x.dtype() {
            DType::F32 => of::<f32>(x, &call),
            DType::F16 => of::<f16>(x, &call),
            DType::BF16 => of::<bf16>(x, &call),
            other => unreachable!("{other:?} is refused before"),
        }
    }
}

fn of<T: Element + burn::tensor::Element>(x: FlexTensor, call: &Dropout) -> FlexTensor {
    let mut x = if x.is_contiguous() { x } else { x.to_contiguous() };
    let first = x.layout().start_offset();
    let range = first..first + x.layout().num_elements();
    let done = if x.is_unique() {
        cpu::forward_in_place(call, &mut x.storage_mut::<T>()[range]).map(|()| x)
    } else {
        cpu::forward_to_vec(call, &x.storage::<T>()[range]).map(|y| {
            FlexTensor::new(
                Bytes::from_elems(y),
                Layout::contiguous(x.layout().shape().clone()),
                x.dtype(),
            )
        })
    };
    done.unwrap_or_else(|error| unreachable!("{error}: refused before"))
}

//! Tensors of Burn's CubeCL runtimes: on wgpu the kernels themselves, launched by Burn's runtime on its own device, in
//! the order of its own work; for the others the CPU path.

use burn::backend::ops::FloatTensorOps as _;
use burn::tensor::{DType, TensorData};
use burn_cubecl::cubecl::PrecompiledSource;
use burn_cubecl::cubecl::client::Client;
use burn_cubecl::cubecl::ir::{AddressType, ElemType, UIntKind, metadata::Info};
use burn_cubecl::cubecl::prelude::{
    CubeCount, CubeDim, CubeKernel, ExecutionMode, KernelDefinition, KernelId, KernelMetadata, KernelSettings, Scope,
};
use burn_cubecl::cubecl::server::{Handle, KernelArguments, MetadataBindingInfo};
use burn_cubecl::ops::into_data_sync;
use burn_cubecl::tensor::CubeTensor;
use burn_cubecl::{CubeBackend, kernel::into_contiguous};
use wgpu_dropout::gpu::plan::PlanLimits;
use wgpu_dropout::gpu::variant::{Access, Input, TileSize};
use wgpu_dropout::gpu::{Multiply, Recipe, RecipeBuffer, RecipeDescriptor, RecipeOperation, RecipeResource, Variant};
use wgpu_dropout::half::{bf16, f16};
use wgpu_dropout::{DType as Stored, Dropout, Element, cpu};

use crate::DropoutOps;

impl DropoutOps for CubeBackend {
    fn dropout(x: CubeTensor, call: Dropout) -> CubeTensor {
        let dtype = match x.dtype {
            DType::F32 => Stored::F32,
            DType::F16 => Stored::F16,
            DType::BF16 => Stored::Bf16,
            other => unreachable!("{other:?} is refused before"),
        };
        // Which runtime, and what it takes the text of: the others compile to languages that WGSL isn't.
        if x.client.name() == "wgpu<wgsl>" {
            on_wgpu(into_contiguous(x), dtype, &call)
        } else {
            on_host(x, &call)
        }
    }
}

/// The invocations of a workgroup that the kernels' text declares.
const WORKGROUP: u32 = 64;

fn on_wgpu(x: CubeTensor, dtype: Stored, call: &Dropout) -> CubeTensor {
    let client = x.client.clone();
    let properties = client.properties();
    let in_place = x.handle.can_mut();
    let tensor = RecipeDescriptor {
        dtype,
        elements: x.meta.shape().num_elements() as u64,
        map: None,
        seeds: None,
        operation: RecipeOperation::Forward {
            // Burn's pool may have put both into one buffer.
            input: if in_place {
                Input::InPlace
            } else {
                Input::Apart(Access::ReadWrite)
            },
            store: None,
        },
        multiply: if properties.supports_type(ElemType::UInt(UIntKind::U64)) {
            Multiply::Int64
        } else {
            Multiply::Emulated
        },
        // Processors in a GPU's place have vectors of 4 to 16.
        tile: if properties.hardware.plane_size_max < 32 {
            TileSize::Elements16
        } else {
            TileSize::Bytes16
        },
        limits: PlanLimits {
            max_binding_bytes: properties.memory.max_page_size,
            offset_alignment: properties.memory.alignment,
            max_workgroups_per_dimension: properties.hardware.max_cube_count.0,
            workgroup_size: WORKGROUP,
        },
    };
    let recipes = match tensor.recipes(call) {
        Ok(recipes) => recipes,
        Err(error) => unreachable!("{error}: every device that WebGPU allows has the limits"),
    };
    let output = (!in_place).then(|| {
        let handle = client.empty(x.handle.size_in_used() as usize);
        CubeTensor::new_contiguous(
            client.clone(),
            x.device.clone(),
            x.meta.shape().clone(),
            handle,
            x.dtype,
        )
    });
    let y = output.as_ref().unwrap_or(&x);
    for recipe in recipes {
        launch(&client, &recipe, &x.handle, &y.handle);
    }
    output.unwrap_or(x)
}

fn launch(client: &Client, recipe: &Recipe, x: &Handle, y: &Handle) {
    let mut arguments = KernelArguments::new();
    for binding in &recipe.bindings {
        let (handle, bytes) = match &binding.resource {
            RecipeResource::Buffer(RecipeBuffer::Input, bytes) => (x, bytes),
            RecipeResource::Buffer(_, bytes) => (y, bytes),
            other => unreachable!("a forward has no {other:?}"),
        };
        // Offsets are from the handle's own ends.
        let behind = handle.size_in_used().saturating_sub(bytes.end);
        let window = handle.clone().offset_start(bytes.start).offset_end(behind);
        arguments = arguments.with_buffer(window.binding());
    }
    arguments.info = MetadataBindingInfo::custom(bytemuck::pod_collect_to_vec(&recipe.parameters));
    let [columns, rows] = recipe.workgroups;
    client.launch(
        Box::new(Kernel(recipe.variant)),
        CubeCount::Static(columns, rows, 1),
        arguments,
    );
}

/// A variant as a kernel of CubeCL's.
struct Kernel(Variant);

impl Kernel {
    fn settings() -> KernelSettings {
        KernelSettings::new(CubeDim::new_1d(WORKGROUP).0, ExecutionMode::Checked, AddressType::U32)
    }

    /// The text with its bindings where CubeCL puts them: the buffers from 0 on, the parameters behind them.
    fn text(&self) -> String {
        let text = self.0.wgsl();
        let buffers = self.0.tensor.map_or(0, |tensor| match tensor.input {
            Input::Apart(_) => 2,
            Input::InPlace => 1,
        });
        let text = text.replace("@group(1) @binding(0)", &format!("@group(0) @binding({buffers})"));
        if buffers == 1 {
            return text.replace("@group(0) @binding(1) var<storage", "@group(0) @binding(0) var<storage");
        }
        text
    }
}

impl KernelMetadata for Kernel {
    fn id(&self) -> KernelId {
        KernelId::new::<Self>()
            .info(self.0)
            .cube_dim(CubeDim::new_1d(WORKGROUP).0)
            .mode(ExecutionMode::Checked)
    }

    fn address_type(&self) -> ElemType {
        UIntKind::U32.into()
    }
}

impl CubeKernel for Kernel {
    fn define(&self) -> KernelDefinition {
        KernelDefinition {
            body: Scope::root(Self::settings()),
            settings: Self::settings(),
            info: Info::default(),
        }
    }

    fn source(&self) -> Option<PrecompiledSource> {
        Some(PrecompiledSource {
            source: self.text(),
            entrypoint_name: "main".to_owned(),
            lang: "wgsl",
        })
    }
}

fn on_host(x: CubeTensor, call: &Dropout) -> CubeTensor {
    let device = x.device.clone();
    let data = into_data_sync(x);
    let data = match data.dtype() {
        DType::F32 => of::<f32>(data, call),
        DType::F16 => of::<f16>(data, call),
        _ => of::<bf16>(data, call),
    };
    CubeBackend::float_from_data(data, &device)
}

fn of<T: Element + burn::tensor::Element>(mut data: TensorData, call: &Dropout) -> TensorData {
    let done = data.as_mut_slice::<T>().map(|y| cpu::forward_in_place(call, y));
    match done {
        Ok(Ok(())) => data,
        Ok(Err(error)) => unreachable!("{error}: refused before"),
        Err(error) => unreachable!("{error:?}: the type has been asked for"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn_cubecl::CubeDevice;
    use wgpu_dropout::gpu::ParameterPath;
    use wgpu_dropout::gpu::variant::{MaskSource, Stream};
    use wgpu_dropout::reference;

    /// What other runtimes get, on one that is there.
    #[test]
    fn through_the_host() {
        let device = CubeDevice::default();
        let x: Vec<f32> = (0..1001).map(|i| i as f32).collect();
        let mut y = x.clone();
        let Ok(call) = Dropout::new(0.4, 3) else {
            unreachable!("a probability")
        };
        assert_eq!(reference::forward(&call, &x, &mut y), Ok(()));
        let x = CubeBackend::float_from_data(TensorData::new(x, [7, 143]), &device);
        let data = into_data_sync(on_host(x, &call));
        assert_eq!(&data.shape()[..], [7, 143]);
        assert_eq!(data.try_to_vec::<f32>().ok(), Some(y));
    }

    /// The bindings are where CubeCL puts them, in one group, each once.
    #[test]
    fn bindings_are_numbered_from_zero() {
        let mut kernels = 0;
        for variant in Variant::all() {
            let Some(input) = variant.tensor.map(|tensor| tensor.input) else {
                continue;
            };
            let is_a_recipe = matches!(variant.mask, MaskSource::Drawn(_, Stream::Aligned | Stream::Shifted))
                && variant.parameters == ParameterPath::Uniform
                && variant.store.is_none()
                && variant.tensor.is_some_and(|tensor| tensor.neighbours.is_none());
            if !is_a_recipe {
                continue;
            }
            kernels += 1;
            let text = Kernel(variant).text();
            let buffers = if input == Input::InPlace { 1 } else { 2 };
            for binding in 0..3 {
                let declared = text.matches(&format!("@group(0) @binding({binding}) var<")).count();
                assert_eq!(declared, usize::from(binding <= buffers), "{variant}: {binding}");
            }
            let parameters = format!("@group(0) @binding({buffers}) var<uniform> params");
            assert!(text.contains(&parameters) && !text.contains("@group(1)"), "{variant}");
        }
        // 3 types, 3 inputs, 3 widths, 2 ways to multiply; aligned and shifted tiles of two sizes, and shifted tails.
        assert_eq!(kernels, 3 * 3 * 3 * 2 * 5);
    }
}

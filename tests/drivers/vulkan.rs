//! A driver as a compiler: a kernel's text in, out what it makes of it, as text too, and what it says about that. Nothing is run.

#![allow(unsafe_code, reason = "each function of Vulkan is")]

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::sync::Mutex;

use ash::vk;
use naga::back::{pipeline_constants::process_overrides, spv};
use naga::proc::{BoundsCheckPolicies, BoundsCheckPolicy};
use naga::valid::{Capabilities, ValidationFlags, Validator};
use naga::{AddressSpace, Module, ShaderStage};

/// Mesa's drivers whose text is understood here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// AMD's GPUs.
    Radv,
    /// Intel's, from Alchemist on.
    Anv,
    /// NVIDIA's.
    Nvk,
    /// Qualcomm's.
    Turnip,
}

/// A compute kernel as a driver has compiled it.
pub struct Compiled {
    /// After all optimisations in NIR, Mesa's representation of shaders, before instructions are chosen.
    pub nir: String,
    /// What the driver counts: instructions, registers, spills.
    pub statistics: BTreeMap<String, u64>,
    /// The binding that lies at a place of a descriptor set.
    pub places: BTreeMap<(u32, u32), u32>,
}

pub struct Driver {
    pub kind: Kind,
    pub name: String,
    device: ash::Device,
    executables: ash::khr::pipeline_executable_properties::Device,
    bounds: BoundsCheckPolicy,
    /// Places that a storage buffer takes in a set.
    places_of_storage: u32,
    /// The last pipeline, for as long as there is no other: RADV else makes room for every one anew, which over a device that does
    /// nothing is never given back.
    last: Mutex<vk::Pipeline>,
    // Both outlive the device.
    _instance: ash::Instance,
    _entry: ash::Entry,
}

fn text(characters: &[std::ffi::c_char]) -> String {
    let bytes: Vec<u8> = characters.iter().map(|&c| c as u8).collect();
    let text = CStr::from_bytes_until_nul(&bytes).unwrap();
    text.to_str().unwrap().to_owned()
}

impl Driver {
    /// That of the first device that the loader finds.
    pub fn new() -> Self {
        // SAFETY: structures are built by ash's own builders from what lives until the call, and handles come from the calls before.
        unsafe {
            let entry = ash::Entry::load().expect("Vulkan's loader; `cargo xtask drivers` provides it");
            let application = vk::ApplicationInfo::default().api_version(vk::API_VERSION_1_3);
            let create = vk::InstanceCreateInfo::default().application_info(&application);
            let instance = entry.create_instance(&create, None).unwrap();
            let devices = instance.enumerate_physical_devices();
            let physical = devices.ok().and_then(|devices| devices.first().copied());
            let physical =
                physical.expect("no driver: `cargo xtask drivers` runs these tests with those that it provides");

            let mut driver = vk::PhysicalDeviceDriverProperties::default();
            let mut properties = vk::PhysicalDeviceProperties2::default().push_next(&mut driver);
            instance.get_physical_device_properties2(physical, &mut properties);
            let device_name = text(&properties.properties.device_name);
            let kind = match driver.driver_id {
                vk::DriverId::MESA_RADV => Kind::Radv,
                vk::DriverId::INTEL_OPEN_SOURCE_MESA => Kind::Anv,
                vk::DriverId::MESA_NVK => Kind::Nvk,
                vk::DriverId::MESA_TURNIP => Kind::Turnip,
                other => panic!("{device_name}: {other:?} is no driver that is understood here"),
            };
            let name = format!(
                "{device_name}, {} {}",
                text(&driver.driver_name),
                text(&driver.driver_info)
            );

            // As wgpu asks for them: what is there of robust accesses, and 64-bit integers.
            let mut robustness = vk::PhysicalDeviceRobustness2FeaturesEXT::default();
            let mut narrow = vk::PhysicalDevice16BitStorageFeatures::default();
            let mut found = vk::PhysicalDeviceFeatures2::default()
                .push_next(&mut robustness)
                .push_next(&mut narrow);
            instance.get_physical_device_features2(physical, &mut found);
            let core = found.features;
            let is_robust = robustness.robust_buffer_access2 == vk::TRUE;
            let has_narrow = narrow.storage_buffer16_bit_access == vk::TRUE;

            let enabled = vk::PhysicalDeviceFeatures::default()
                .robust_buffer_access(core.robust_buffer_access == vk::TRUE)
                .shader_int64(core.shader_int64 == vk::TRUE);
            let mut robustness = vk::PhysicalDeviceRobustness2FeaturesEXT::default().robust_buffer_access2(is_robust);
            let mut executables =
                vk::PhysicalDevicePipelineExecutablePropertiesFeaturesKHR::default().pipeline_executable_info(true);
            let mut memory_model = vk::PhysicalDeviceVulkan12Features::default().vulkan_memory_model(true);
            let mut core_1_3 = vk::PhysicalDeviceVulkan13Features::default()
                .shader_zero_initialize_workgroup_memory(true)
                .subgroup_size_control(true);
            let extensions = [
                ash::ext::robustness2::NAME.as_ptr(),
                ash::khr::pipeline_executable_properties::NAME.as_ptr(),
            ];
            let queues = [vk::DeviceQueueCreateInfo::default().queue_priorities(&[1.0])];
            let create = vk::DeviceCreateInfo::default()
                .queue_create_infos(&queues)
                .enabled_extension_names(&extensions)
                .enabled_features(&enabled)
                .push_next(&mut robustness)
                .push_next(&mut executables)
                .push_next(&mut memory_model)
                .push_next(&mut core_1_3);
            let device = instance.create_device(physical, &create, None).unwrap();
            Self {
                kind,
                name,
                executables: ash::khr::pipeline_executable_properties::Device::new(&instance, &device),
                device,
                bounds: if is_robust {
                    BoundsCheckPolicy::Unchecked
                } else {
                    BoundsCheckPolicy::Restrict
                },
                places_of_storage: if kind == Kind::Turnip && has_narrow { 2 } else { 1 },
                last: Mutex::default(),
                _instance: instance,
                _entry: entry,
            }
        }
    }

    /// The text through naga, as wgpu puts it through, and the driver.
    pub fn compile(&self, name: &str, wgsl: &str) -> Compiled {
        let (module, words) = self.translated(name, wgsl);
        let (sets, places, immediates) = self.layout(&module);
        // SAFETY: as in `new`; all that is made here is destroyed here or in a later call, when nothing uses it any more.
        unsafe {
            let sets: Vec<_> = sets
                .iter()
                .map(|set| {
                    let create = vk::DescriptorSetLayoutCreateInfo::default().bindings(set);
                    self.device.create_descriptor_set_layout(&create, None).unwrap()
                })
                .collect();
            let create = vk::PipelineLayoutCreateInfo::default()
                .set_layouts(&sets)
                .push_constant_ranges(&immediates);
            let layout = self.device.create_pipeline_layout(&create, None).unwrap();
            let create = vk::ShaderModuleCreateInfo::default().code(&words);
            let shader = self.device.create_shader_module(&create, None).unwrap();
            let stage = vk::PipelineShaderStageCreateInfo::default()
                .flags(vk::PipelineShaderStageCreateFlags::ALLOW_VARYING_SUBGROUP_SIZE)
                .stage(vk::ShaderStageFlags::COMPUTE)
                .module(shader)
                .name(c"main");
            let create = vk::ComputePipelineCreateInfo::default()
                .flags(
                    vk::PipelineCreateFlags::CAPTURE_INTERNAL_REPRESENTATIONS_KHR
                        | vk::PipelineCreateFlags::CAPTURE_STATISTICS_KHR,
                )
                .stage(stage)
                .layout(layout);
            let pipelines = self
                .device
                .create_compute_pipelines(vk::PipelineCache::null(), &[create], None);
            let pipeline = pipelines.unwrap_or_else(|(_, error)| panic!("{name}, {}: {error}", self.name))[0];
            let nir = self.nir(pipeline);
            let statistics = self.statistics(pipeline);
            let before = std::mem::replace(&mut *self.last.lock().unwrap(), pipeline);
            self.device.destroy_pipeline(before, None);
            self.device.destroy_shader_module(shader, None);
            self.device.destroy_pipeline_layout(layout, None);
            for set in sets {
                self.device.destroy_descriptor_set_layout(set, None);
            }
            Compiled {
                nir: nir.unwrap_or_else(|| panic!("{name}: {} shows no NIR", self.name)),
                statistics,
                places,
            }
        }
    }

    fn translated(&self, name: &str, wgsl: &str) -> (Module, Vec<u32>) {
        let module = naga::front::wgsl::parse_str(wgsl);
        let module = module.unwrap_or_else(|error| panic!("{name}: {}", error.emit_to_string(wgsl)));
        let mut validator = Validator::new(ValidationFlags::all(), Capabilities::all());
        let info = validator.validate(&module).unwrap();
        let entry = Some((ShaderStage::Compute, "main"));
        let constants = naga::back::PipelineConstants::default();
        let (module, info) = process_overrides(&module, &info, entry, &constants).unwrap();
        let options = spv::Options {
            lang_version: (1, 6),
            flags: spv::WriterFlags::empty(),
            bounds_check_policies: BoundsCheckPolicies {
                index: BoundsCheckPolicy::Restrict,
                buffer: self.bounds,
                ..BoundsCheckPolicies::default()
            },
            zero_initialize_workgroup_memory: spv::ZeroInitializeWorkgroupMemoryMode::Native,
            force_loop_bounding: true,
            ..spv::Options::default()
        };
        let pipeline = spv::PipelineOptions {
            shader_stage: ShaderStage::Compute,
            entry_point: "main".to_owned(),
        };
        let words = spv::write_vec(&module, &info, &options, Some(&pipeline)).unwrap();
        (module.into_owned(), words)
    }

    /// Descriptor sets, the binding at each of their places, and the range of the immediates.
    #[allow(clippy::type_complexity, reason = "taken apart at once")]
    fn layout(
        &self,
        module: &Module,
    ) -> (
        Vec<Vec<vk::DescriptorSetLayoutBinding<'static>>>,
        BTreeMap<(u32, u32), u32>,
        Vec<vk::PushConstantRange>,
    ) {
        let mut bound = BTreeMap::new();
        let mut immediates = Vec::new();
        for (_, global) in module.global_variables.iter() {
            let range = vk::PushConstantRange::default().stage_flags(vk::ShaderStageFlags::COMPUTE);
            match (&global.binding, global.space) {
                (_, AddressSpace::Immediate) => immediates.push(range.size(128)),
                // The parameters are bound with an offset, as wgpu has them.
                (Some(at), AddressSpace::Uniform) if at.group == 1 && self.kind == Kind::Nvk => {
                    bound.insert((at.group, at.binding), vk::DescriptorType::UNIFORM_BUFFER_DYNAMIC);
                }
                (Some(at), AddressSpace::Uniform) => {
                    bound.insert((at.group, at.binding), vk::DescriptorType::UNIFORM_BUFFER);
                }
                (Some(at), _) => {
                    bound.insert((at.group, at.binding), vk::DescriptorType::STORAGE_BUFFER);
                }
                (None, _) => {}
            }
        }
        let groups = bound.keys().map(|(group, _)| group + 1).max().unwrap_or(0);
        let (mut sets, mut places) = (vec![Vec::new(); groups as usize], BTreeMap::new());
        let mut next = vec![0; groups as usize];
        for ((group, binding), descriptor) in bound {
            let set = vk::DescriptorSetLayoutBinding::default()
                .binding(binding)
                .descriptor_type(descriptor)
                .descriptor_count(1)
                .stage_flags(vk::ShaderStageFlags::COMPUTE);
            sets[group as usize].push(set);
            let place = &mut next[group as usize];
            places.insert((group, *place), binding);
            *place += if descriptor == vk::DescriptorType::STORAGE_BUFFER {
                self.places_of_storage
            } else {
                1
            };
        }
        (sets, places, immediates)
    }

    /// The last of the representations that are called NIR.
    ///
    /// # Safety
    ///
    /// The pipeline is this device's, made to show them.
    unsafe fn nir(&self, pipeline: vk::Pipeline) -> Option<String> {
        let executable = vk::PipelineExecutableInfoKHR::default().pipeline(pipeline);
        let ask = self
            .executables
            .fp()
            .get_pipeline_executable_internal_representations_khr;
        let device = self.device.handle();
        // SAFETY: the count is asked for first, then the sizes, then the text, each into memory of that length.
        let texts = unsafe {
            let mut count = 0;
            ask(device, &raw const executable, &raw mut count, std::ptr::null_mut())
                .result()
                .unwrap();
            let mut found = vec![vk::PipelineExecutableInternalRepresentationKHR::default(); count as usize];
            ask(device, &raw const executable, &raw mut count, found.as_mut_ptr())
                .result()
                .unwrap();
            let mut texts: Vec<_> = found.iter().map(|one| vec![0u8; one.data_size]).collect();
            for (one, text) in found.iter_mut().zip(&mut texts) {
                one.p_data = text.as_mut_ptr().cast();
            }
            ask(device, &raw const executable, &raw mut count, found.as_mut_ptr())
                .result()
                .unwrap();
            found.into_iter().map(|one| text(&one.name)).zip(texts)
        };
        let is_nir = |name: &str| ["NIR Shader(s)", "NIR shader", "Final NIR"].contains(&name);
        let texts = texts.filter(|(name, _)| is_nir(name));
        let texts = texts.map(|(_, text)| String::from_utf8_lossy(&text).trim_end_matches('\0').to_owned());
        texts.last()
    }

    /// # Safety
    ///
    /// As of `nir`.
    unsafe fn statistics(&self, pipeline: vk::Pipeline) -> BTreeMap<String, u64> {
        let executable = vk::PipelineExecutableInfoKHR::default().pipeline(pipeline);
        // SAFETY: the union's member is the one that its format names.
        unsafe {
            let all = self
                .executables
                .get_pipeline_executable_statistics(&executable)
                .unwrap();
            let value = |one: &vk::PipelineExecutableStatisticKHR<'_>| match one.format {
                vk::PipelineExecutableStatisticFormatKHR::INT64 => one.value.i64 as u64,
                vk::PipelineExecutableStatisticFormatKHR::UINT64 => one.value.u64,
                _ => 0,
            };
            all.iter().map(|one| (text(&one.name), value(one))).collect()
        }
    }
}

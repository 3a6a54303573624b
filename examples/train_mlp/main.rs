//! A small network trained on the GPU alone: matrix products of this example's own, dropout forward and backward and
//! the gradients of the biases of the library's.
//!
//! Three layers, ReLU, keep probability 0.86, two classes of points in the plane. The seed and the step counter lie in
//! a buffer that the GPU advances, so every step is the same recording, draws fresh masks, and nothing is read back
//! before the training is over. Prints the accuracy on training and test data with and without dropout, and checks
//! the gradients against finite differences with the masks held. Run with `cargo run --example train_mlp`.

#![allow(clippy::print_stdout, reason = "an example")]

use std::error::Error;
use std::f32::consts::{PI, TAU};

use rand::RngExt as _;
use wgpu::util::DeviceExt as _;
use wgpu_dropout::gpu::{
    Advance, AdvanceDescriptor, BackwardMask, BiasGradient, BiasGradientDescriptor, BindDescriptor, DeviceCall,
    DeviceCallDescriptor, Kernels, Operation, state_bytes,
};
use wgpu_dropout::{DType, Dropout, Philox4x32};

/// Units of the layers, the inputs first.
const UNITS: [usize; 4] = [2, 32, 32, 1];
const KEEP_PROBABILITY: f64 = 0.86;
const SEED: u64 = 7;
/// Subsequences from which the data is drawn, a stretch each; the masks have a seed for each run.
const WEIGHTS: u64 = 1 << 62;
const TRAINING: u64 = 2 << 62;
const TEST: u64 = 3 << 62;
const STEPS: usize = 1000;
/// Trainings from other weights and points, over which the accuracies are averaged.
const RUNS: u64 = 3;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// The device and its pipelines.
struct Gpu {
    device: wgpu::Device,
    queue: wgpu::Queue,
    kernels: Kernels,
    network: wgpu::ShaderModule,
}

/// A part of a step that can be recorded.
enum Work {
    Own {
        pipeline: wgpu::ComputePipeline,
        bind_group: wgpu::BindGroup,
        workgroups: u32,
    },
    Dropout(DeviceCall),
    BiasGradient(BiasGradient),
    Advance(Advance),
}

impl Work {
    fn record(&self, pass: &mut wgpu::ComputePass<'_>) {
        match self {
            Self::Own {
                pipeline,
                bind_group,
                workgroups,
            } => {
                pass.set_pipeline(pipeline);
                pass.set_bind_group(0, bind_group, &[]);
                pass.dispatch_workgroups(*workgroups, 1, 1);
            }
            Self::Dropout(call) => call.record(pass),
            Self::BiasGradient(gradient) => gradient.record(pass),
            Self::Advance(advance) => advance.record(pass),
        }
    }
}

/// A matrix in a buffer, as a product reads it.
#[derive(Clone, Copy)]
struct Matrix<'a> {
    buffer: &'a wgpu::Buffer,
    row: usize,
    column: usize,
}

impl<'a> Matrix<'a> {
    fn of(buffer: &'a wgpu::Buffer, columns: usize) -> Self {
        Self {
            buffer,
            row: columns,
            column: 1,
        }
    }

    fn transposed(self) -> Self {
        Self {
            row: self.column,
            column: self.row,
            ..self
        }
    }
}

impl Gpu {
    fn new() -> Outcome<Self> {
        let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle_from_env());
        let adapter = pollster::block_on(instance.request_adapter(&wgpu::RequestAdapterOptions::default()))?;
        let (device, queue) = pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor {
            required_features: adapter.features() & Kernels::optional_features(),
            required_limits: adapter.limits(),
            ..Default::default()
        }))?;
        println!("on {}", adapter.get_info().name);
        Ok(Self {
            kernels: Kernels::new(&device, &queue)?,
            network: device.create_shader_module(wgpu::include_wgsl!("network.wgsl")),
            device,
            queue,
        })
    }

    fn buffer(&self, values: &[f32]) -> wgpu::Buffer {
        self.filled(bytemuck::cast_slice(values), wgpu::BufferUsages::STORAGE)
    }

    fn zeros(&self, length: usize) -> wgpu::Buffer {
        self.buffer(&vec![0.0; length])
    }

    fn filled(&self, contents: &[u8], usage: wgpu::BufferUsages) -> wgpu::Buffer {
        self.device.create_buffer_init(&wgpu::util::BufferInitDescriptor {
            label: None,
            contents,
            usage: usage | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST,
        })
    }

    /// An entry point of network.wgsl over so many elements, with its buffers from that binding on.
    fn own(&self, entry_point: &str, first_binding: u32, buffers: &[&wgpu::Buffer], elements: usize) -> Work {
        let pipeline = self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(entry_point),
            layout: None,
            module: &self.network,
            entry_point: Some(entry_point),
            compilation_options: wgpu::PipelineCompilationOptions::default(),
            cache: None,
        });
        let entries: Vec<_> = buffers
            .iter()
            .zip(first_binding..)
            .map(|(buffer, binding)| wgpu::BindGroupEntry {
                binding,
                resource: buffer.as_entire_binding(),
            })
            .collect();
        Work::Own {
            bind_group: self.device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: Some(entry_point),
                layout: &pipeline.get_bind_group_layout(0),
                entries: &entries,
            }),
            pipeline,
            workgroups: elements.div_ceil(64) as u32,
        }
    }

    /// c = a b, of so many rows, inner elements and columns.
    fn product(&self, [rows, inner, columns]: [usize; 3], a: Matrix<'_>, b: Matrix<'_>, c: &wgpu::Buffer) -> Work {
        let shape = [rows, columns, inner, a.row, a.column, b.row, b.column].map(|n| n as u32);
        let shape = self.filled(bytemuck::cast_slice(&shape), wgpu::BufferUsages::UNIFORM);
        self.own("product", 0, &[&shape, a.buffer, b.buffer, c], rows * columns)
    }

    /// The library's kernel, in place, for the n-th mask of a step.
    fn dropout(&self, state: &wgpu::Buffer, n: u64, tensor: &wgpu::Buffer, is_forward: bool) -> Outcome<Work> {
        let [input, output] = [tensor; 2].map(wgpu::Buffer::as_entire_buffer_binding);
        let operation = if is_forward {
            Operation::Forward {
                x: input,
                y: output,
                store: None,
            }
        } else {
            Operation::Backward {
                dy: input,
                dx: output,
                mask: BackwardMask::Drawn,
            }
        };
        let binding = self.kernels.bind(&BindDescriptor {
            label: None,
            dtype: DType::F32,
            elements: tensor.size() / 4,
            map: None,
            seeds: None,
            operation,
        })?;
        let call = binding.on_device(&DeviceCallDescriptor {
            label: None,
            // The seed is the state's; the subsequence is added to the state's.
            dropout: &Dropout::new(1.0 - KEEP_PROBABILITY, 0)?.with_subsequence(n),
            state: state.as_entire_buffer_binding(),
            length: None,
        })?;
        Ok(Work::Dropout(call))
    }

    fn record(&self, works: &[Work]) {
        let mut encoder = self
            .device
            .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            for work in works {
                work.record(&mut pass);
            }
        }
        self.queue.submit([encoder.finish()]);
    }

    fn read<T: bytemuck::Pod>(&self, buffer: &wgpu::Buffer) -> Outcome<Vec<T>> {
        let staging = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: buffer.size(),
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let mut encoder = self
            .device
            .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        encoder.copy_buffer_to_buffer(buffer, 0, &staging, 0, buffer.size());
        self.queue.submit([encoder.finish()]);
        staging.map_async(wgpu::MapMode::Read, .., |_| {});
        self.device.poll(wgpu::PollType::wait_indefinitely())?;
        let bytes = staging.get_mapped_range(..)?;
        Ok(bytemuck::pod_collect_to_vec(&bytes))
    }
}

/// Points and their classes.
struct Points {
    coordinates: Vec<f32>,
    classes: Vec<f32>,
}

impl Points {
    /// Two half-moons, one inside the other's bend, blurred until they overlap. Of the classes a share is wrong.
    fn new(count: usize, wrong: f32, subsequence: u64) -> Self {
        let mut random = Philox4x32::new(SEED, subsequence);
        let mut coordinates = Vec::with_capacity(2 * count);
        let mut classes = Vec::with_capacity(count);
        for n in 0..count {
            let angle = PI * random.random::<f32>();
            let (x, y) = if n % 2 == 0 {
                (angle.cos(), angle.sin())
            } else {
                (1.0 - angle.cos(), 0.5 - angle.sin())
            };
            let [a, b] = normal_pair(&mut random);
            coordinates.extend([x + 0.3 * a, y + 0.3 * b]);
            let is_wrong = random.random::<f32>() < wrong;
            classes.push(if is_wrong { 1 - n % 2 } else { n % 2 } as f32);
        }
        Self { coordinates, classes }
    }
}

/// Two normal numbers, by Box and Muller.
fn normal_pair(random: &mut Philox4x32) -> [f32; 2] {
    let radius = (-2.0 * (1.0 - random.random::<f32>()).ln()).sqrt();
    let angle = TAU * random.random::<f32>();
    [radius * angle.cos(), radius * angle.sin()]
}

/// The parameters of the network, and what Adam keeps of them.
struct Parameters {
    /// Weights (inputs x units) and biases of each layer in turn.
    values: Vec<wgpu::Buffer>,
    gradients: Vec<wgpu::Buffer>,
    moments: Vec<wgpu::Buffer>,
    /// Seed and subsequence, which the GPU moves on.
    state: wgpu::Buffer,
}

impl Parameters {
    fn new(gpu: &Gpu, run: u64) -> Self {
        let mut random = Philox4x32::new(SEED, WEIGHTS + run);
        let mut values = Vec::new();
        for layer in UNITS.windows(2) {
            let spread = (2.0 / layer[0] as f32).sqrt();
            let weights: Vec<f32> = (0..layer[0] * layer[1])
                .map(|_| spread * normal_pair(&mut random)[0])
                .collect();
            values.extend([gpu.buffer(&weights), gpu.zeros(layer[1])]);
        }
        let zeros = |times| {
            values
                .iter()
                .map(|value| gpu.zeros(value.size() as usize / 4 * times))
                .collect()
        };
        Self {
            gradients: zeros(1),
            moments: zeros(2),
            state: gpu.filled(&state_bytes(SEED + run, 0), wgpu::BufferUsages::STORAGE),
            values,
        }
    }
}

/// A network over a set of points: what a forward and a backward pass consist of.
struct Network {
    points: usize,
    /// Outputs of the layers, the coordinates first.
    activations: Vec<wgpu::Buffer>,
    losses: wgpu::Buffer,
    forward: Vec<Work>,
    backward: Vec<Work>,
}

impl Network {
    fn new(gpu: &Gpu, parameters: &Parameters, points: &Points, has_dropout: bool) -> Outcome<Self> {
        let count = points.classes.len();
        let classes = gpu.buffer(&points.classes);
        let losses = gpu.zeros(count);
        let mut activations = vec![gpu.buffer(&points.coordinates)];
        activations.extend(UNITS[1..].iter().map(|units| gpu.zeros(count * units)));
        let gradients: Vec<_> = UNITS.iter().map(|units| gpu.zeros(count * units)).collect();
        let layers = UNITS.len() - 1;

        let mut forward = Vec::new();
        for layer in 0..layers {
            let [inputs, units] = [UNITS[layer], UNITS[layer + 1]];
            let (weights, bias) = (&parameters.values[2 * layer], &parameters.values[2 * layer + 1]);
            let (x, y) = (&activations[layer], &activations[layer + 1]);
            let is_last = layer + 1 == layers;
            let (x, weights) = (Matrix::of(x, inputs), Matrix::of(weights, units));
            forward.push(gpu.product([count, inputs, units], x, weights, y));
            let activate = if is_last { "add_bias" } else { "add_bias_relu" };
            forward.push(gpu.own(activate, 4, &[bias, y], count * units));
            if has_dropout && !is_last {
                forward.push(gpu.dropout(&parameters.state, layer as u64, y, true)?);
            }
        }
        let (logits, slopes) = (&activations[layers], &gradients[layers]);
        forward.push(gpu.own("cross_entropy", 8, &[logits, &classes, &losses, slopes], count));

        let mut backward = Vec::new();
        for layer in (0..layers).rev() {
            let [inputs, units] = [UNITS[layer], UNITS[layer + 1]];
            let (dx, dy) = (&gradients[layer], &gradients[layer + 1]);
            let [dweights, dbias] = [&parameters.gradients[2 * layer], &parameters.gradients[2 * layer + 1]];
            let x = Matrix::of(&activations[layer], inputs).transposed();
            backward.push(gpu.product([inputs, count, units], x, Matrix::of(dy, units), dweights));
            backward.push(Work::BiasGradient(gpu.kernels.bind_bias_gradient(
                &BiasGradientDescriptor {
                    label: None,
                    dtype: DType::F32,
                    elements: (count * units) as u64,
                    columns: units as u64,
                    dx: dy.as_entire_buffer_binding(),
                    dbias: dbias.as_entire_buffer_binding(),
                },
            )?));
            if layer == 0 {
                continue;
            }
            let weights = Matrix::of(&parameters.values[2 * layer], units).transposed();
            backward.push(gpu.product([count, units, inputs], Matrix::of(dy, units), weights, dx));
            if has_dropout {
                // Nothing was stored: the same numbers draw the same mask again.
                backward.push(gpu.dropout(&parameters.state, layer as u64 - 1, dx, false)?);
            }
            backward.push(gpu.own("relu_backward", 6, &[&activations[layer], dx], count * inputs));
        }
        Ok(Self {
            points: count,
            activations,
            losses,
            forward,
            backward,
        })
    }

    /// Of the last forward pass.
    fn loss(&self, gpu: &Gpu) -> Outcome<f64> {
        let losses = gpu.read::<f32>(&self.losses)?;
        Ok(losses.iter().copied().map(f64::from).sum::<f64>() / self.points as f64)
    }

    /// Share of the points on their class' side, in percent.
    fn accuracy(&self, gpu: &Gpu, points: &Points) -> Outcome<f64> {
        gpu.record(&self.forward);
        let logits = gpu.read::<f32>(&self.activations[UNITS.len() - 1])?;
        let right = logits.iter().zip(&points.classes);
        let right = right.filter(|&(&logit, &class)| (logit > 0.0) == (class > 0.5)).count();
        Ok(100.0 * right as f64 / self.points as f64)
    }
}

/// The relative distance of the gradients from central differences, with the masks of one step.
fn gradient_check(gpu: &Gpu, train: &Points) -> Outcome<f64> {
    /// Small enough for few units to pass the ReLU's bend, great enough for the loss to show it.
    const DISTANCE: f32 = 2e-3;
    let parameters = Parameters::new(gpu, 0);
    let network = Network::new(gpu, &parameters, train, true)?;
    gpu.record(&network.forward);
    gpu.record(&network.backward);
    let (mut apart, mut size) = (0.0, 0.0);
    for (values, gradients) in parameters.values.iter().zip(&parameters.gradients) {
        let gradients = gpu.read::<f32>(gradients)?;
        for (i, value) in gpu.read::<f32>(values)?.into_iter().enumerate().step_by(17) {
            let loss_at = |value: f32| {
                gpu.queue.write_buffer(values, i as u64 * 4, &value.to_ne_bytes());
                gpu.record(&network.forward);
                network.loss(gpu)
            };
            let (above, below) = (value + DISTANCE, value - DISTANCE);
            let difference = (loss_at(above)? - loss_at(below)?) / f64::from(above - below);
            loss_at(value)?;
            apart += (difference - f64::from(gradients[i])).powi(2);
            size += difference.powi(2);
        }
    }
    Ok((apart / size).sqrt())
}

/// Accuracies on training and test data after a training.
fn train(gpu: &Gpu, run: u64, has_dropout: bool) -> Outcome<[f64; 2]> {
    let (train, test) = points(run);
    let (train, test) = (&train, &test);
    let parameters = Parameters::new(gpu, run);
    let network = Network::new(gpu, &parameters, train, has_dropout)?;
    let mut update: Vec<_> = (0..parameters.values.len())
        .map(|i| {
            let (values, gradients) = (&parameters.values[i], &parameters.gradients[i]);
            let buffers = [&parameters.state, gradients, &parameters.moments[i], values];
            gpu.own("adam", 12, &buffers, values.size() as usize / 4)
        })
        .collect();
    // Two masks a step, the subsequences of which no later step draws again.
    update.push(Work::Advance(gpu.kernels.bind_advance(&AdvanceDescriptor {
        label: None,
        state: parameters.state.as_entire_buffer_binding(),
        by: 2,
    })?));

    for _step in 0..STEPS {
        let mut encoder = gpu
            .device
            .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            for work in network.forward.iter().chain(&network.backward).chain(&update) {
                work.record(&mut pass);
            }
        }
        gpu.queue.submit([encoder.finish()]);
    }

    let state = gpu.read::<u8>(&parameters.state)?;
    if state != state_bytes(SEED + run, 2 * STEPS as u64) {
        return Err(format!("the state on the GPU is {state:?} after {STEPS} steps").into());
    }
    // Inference: inverted dropout has nothing to do there.
    let mut accuracies = [0.0; 2];
    for (accuracy, points) in accuracies.iter_mut().zip([train, test]) {
        *accuracy = Network::new(gpu, &parameters, points, false)?.accuracy(gpu, points)?;
    }
    Ok(accuracies)
}

/// Training points, a tenth of them with the wrong class, for the network to learn by heart; test points without.
fn points(run: u64) -> (Points, Points) {
    (
        Points::new(100, 0.1, TRAINING + run),
        Points::new(2000, 0.0, TEST + run),
    )
}

fn main() -> Outcome<()> {
    let gpu = Gpu::new()?;
    let distance = gradient_check(&gpu, &points(0).0)?;
    println!("gradients, masks held: {distance:.1e} of their size from finite differences");
    if distance.is_nan() || distance > 2e-2 {
        return Err("the gradients are not those of the loss".into());
    }

    println!("accuracy after {STEPS} steps, mean of {RUNS} trainings:");
    let mut test_accuracies = [0.0; 2];
    for (has_dropout, test_accuracy) in [false, true].into_iter().zip(&mut test_accuracies) {
        let mut mean = [0.0; 2];
        for run in 0..RUNS {
            let accuracies = train(&gpu, run, has_dropout)?;
            mean = [0, 1].map(|i| mean[i] + accuracies[i] / RUNS as f64);
        }
        let name = if has_dropout {
            format!("keep probability {KEEP_PROBABILITY}")
        } else {
            "without dropout".to_owned()
        };
        println!("  {name:24} training {:5.1} %   test {:5.1} %", mean[0], mean[1]);
        if mean[0] < 80.0 {
            return Err("nothing was learnt".into());
        }
        *test_accuracy = mean[1];
    }
    if test_accuracies[1] < test_accuracies[0] {
        return Err("dropout did not help on this data".into());
    }
    Ok(())
}

// SPDX-License-Identifier: MIT OR Apache-2.0
// What of the training is not dropout: plain kernels, one invocation an element, written to be read.

// c = a b, of `rows` x `inner` and `inner` x `columns`, either of them transposed by its strides.
struct Product {
    rows: u32,
    columns: u32,
    inner: u32,
    a_row: u32,
    a_inner: u32,
    b_inner: u32,
    b_column: u32,
}

@group(0) @binding(0) var<uniform> shape: Product;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read_write> c: array<f32>;

@compute @workgroup_size(64)
fn product(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= shape.rows * shape.columns {
        return;
    }
    let row = id.x / shape.columns;
    let column = id.x % shape.columns;
    var sum = 0.0;
    for (var k = 0u; k < shape.inner; k += 1u) {
        sum += a[row * shape.a_row + k * shape.a_inner] * b[k * shape.b_inner + column * shape.b_column];
    }
    c[id.x] = sum;
}

@group(0) @binding(4) var<storage, read> bias: array<f32>;
@group(0) @binding(5) var<storage, read_write> z: array<f32>;

@compute @workgroup_size(64)
fn add_bias(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x < arrayLength(&z) {
        z[id.x] += bias[id.x % arrayLength(&bias)];
    }
}

@compute @workgroup_size(64)
fn add_bias_relu(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x < arrayLength(&z) {
        z[id.x] = max(z[id.x] + bias[id.x % arrayLength(&bias)], 0.0);
    }
}

// The gradient of the ReLU. Dropped activations are zero too, but their gradient is already.
@group(0) @binding(6) var<storage, read> activation: array<f32>;
@group(0) @binding(7) var<storage, read_write> gradient: array<f32>;

@compute @workgroup_size(64)
fn relu_backward(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x < arrayLength(&gradient) {
        gradient[id.x] = select(0.0, gradient[id.x], activation[id.x] > 0.0);
    }
}

// Cross-entropy of sigmoid(logit) with a class of 0 or 1, and the gradient of its mean.
@group(0) @binding(8) var<storage, read> logit: array<f32>;
@group(0) @binding(9) var<storage, read> class_of: array<f32>;
@group(0) @binding(10) var<storage, read_write> loss: array<f32>;
@group(0) @binding(11) var<storage, read_write> logit_gradient: array<f32>;

@compute @workgroup_size(64)
fn cross_entropy(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= arrayLength(&logit) {
        return;
    }
    let x = logit[id.x];
    let t = class_of[id.x];
    loss[id.x] = max(x, 0.0) - x * t + log(1.0 + exp(-abs(x)));
    logit_gradient[id.x] = (1.0 / (1.0 + exp(-x)) - t) / f32(arrayLength(&logit));
}

// Adam. The step is the library's state: a step draws two masks, so its subsequence is twice the steps done.
@group(0) @binding(12) var<storage, read> state: array<u32>;
@group(0) @binding(13) var<storage, read> slope: array<f32>;
@group(0) @binding(14) var<storage, read_write> moments: array<vec2<f32>>;
@group(0) @binding(15) var<storage, read_write> weight: array<f32>;

@compute @workgroup_size(64)
fn adam(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= arrayLength(&weight) {
        return;
    }
    let step = f32(state[2] / 2u + 1u);
    let g = slope[id.x];
    let moment = vec2<f32>(0.9, 0.999) * moments[id.x] + vec2<f32>(0.1 * g, 0.001 * g * g);
    moments[id.x] = moment;
    let mean = moment.x / (1.0 - pow(0.9, step));
    let spread = sqrt(moment.y / (1.0 - pow(0.999, step)));
    weight[id.x] -= 0.01 * mean / (spread + 1e-8);
}

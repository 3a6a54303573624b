// The WGSL as published, under a WGSL compiler that is not naga: Dawn's, with no Rust in between.
// Files come from `cargo run --example other_engine`; WGSL_FOLDER has one folder a file of vectors.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { create, globals } from "webgpu";

Object.assign(globalThis, globals);
const { WGSL_FOLDER, VECTORS, VK_DRIVER_FILES } = process.env;
assert(WGSL_FOLDER && VECTORS, "run by cargo xtask test-web");

// Dawn ends with an instance that nothing refers to, whatever else still lives of it.
const instances = [];

async function deviceOf(options) {
  const gpu = create(options);
  const adapter = await gpu.requestAdapter();
  assert(adapter, "an adapter");
  instances.push(gpu, adapter);
  return adapter.requestDevice();
}

/** A pipeline of the text, or an error with line and column. */
async function pipelineOf(device, code) {
  device.pushErrorScope("validation");
  const module = device.createShaderModule({ code });
  const pipeline = device.createComputePipeline({ layout: "auto", compute: { module, entryPoint: "main" } });
  const { messages } = await module.getCompilationInfo();
  const error = await device.popErrorScope();
  if (error) {
    throw new Error([error.message, ...messages.map(({ lineNum, linePos, message }) => `${lineNum}:${linePos} ${message}`)].join("\n"));
  }
  return pipeline;
}

test("every shader passes Tint", async () => {
  const device = await deviceOf(["backend=null"]);
  const folder = join(WGSL_FOLDER, "dropout_v1", "wgsl");
  const files = readdirSync(folder);
  assert(files.length > 800, `${files.length} shaders`);
  for (const file of files) {
    const text = readFileSync(join(folder, file), "utf8");
    await assert.doesNotReject(pipelineOf(device, text), file);
  }
  // That it would be noticed.
  const text = readFileSync(join(folder, files[0]), "utf8");
  await assert.rejects(pipelineOf(device, text.replace("@compute", "@compute @vertex")), /error/);
  await assert.rejects(pipelineOf(device, `${text}\nfn wide() -> u64 { return 0; }`), /u64/);
  device.destroy();
});

/** Follows the recipe of a call. */
async function follow(device, pipelines, dispatches, folder, input, bytesOfElement) {
  const { STORAGE, COPY_DST, COPY_SRC, MAP_READ, UNIFORM } = GPUBufferUsage;
  const size = Math.ceil(input.byteLength / 4) * 4;
  const buffer = (size, usage, bytes) => {
    const made = device.createBuffer({ size, usage, mappedAtCreation: bytes !== undefined });
    if (bytes) {
      new Uint8Array(made.getMappedRange()).set(bytes);
      made.unmap();
    }
    return made;
  };
  const x = buffer(size, STORAGE, input);
  const y = buffer(size, STORAGE | COPY_SRC);
  const staging = buffer(size, MAP_READ | COPY_DST);
  const encoder = device.createCommandEncoder();
  for (const { shader, elements, parameters, workgroups } of dispatches) {
    if (!pipelines.has(shader)) {
      pipelines.set(shader, await pipelineOf(device, readFileSync(join(folder, "wgsl", shader), "utf8")));
    }
    const pipeline = pipelines.get(shader);
    const [offset, end] = elements.map((element) => element * bytesOfElement);
    const range = { offset, size: Math.ceil((end - offset) / 4) * 4 };
    const group = (index, buffers) =>
      device.createBindGroup({
        layout: pipeline.getBindGroupLayout(index),
        entries: buffers.map((resource, binding) => ({ binding, resource })),
      });
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, group(0, [{ buffer: x, ...range }, { buffer: y, ...range }]));
    pass.setBindGroup(1, group(1, [{ buffer: buffer(64, UNIFORM, Buffer.from(parameters, "hex")) }]));
    pass.dispatchWorkgroups(...workgroups);
    pass.end();
  }
  encoder.copyBufferToBuffer(y, 0, staging, 0, size);
  device.queue.submit([encoder.finish()]);
  await staging.mapAsync(GPUMapMode.READ);
  const output = Buffer.from(new Uint8Array(staging.getMappedRange(), 0, input.byteLength));
  for (const made of [x, y, staging]) {
    made.destroy();
  }
  return output;
}

const BYTES = { f32: 4, f16: 2, bf16: 2 };

/** Little-endian bytes of hex bit patterns. */
function bytesOf(patterns, bytesOfElement) {
  const bytes = Buffer.alloc(patterns.length * bytesOfElement);
  patterns.forEach((pattern, i) => bytes.writeUIntLE(parseInt(pattern, 16), i * bytesOfElement, bytesOfElement));
  return bytes;
}

/** The rule that a digest's input follows. */
function ruled(n, bytesOfElement) {
  const bytes = Buffer.alloc(n * bytesOfElement);
  for (let i = 0; i < n; i++) {
    const bits = (Math.imul(i, 2654435761) + 12345) >>> 0;
    bytes.writeUIntLE(bytesOfElement === 4 ? bits : bits & 0xffff, i * bytesOfElement, bytesOfElement);
  }
  return bytes;
}

for (const [file, least] of [["dropout_v1", 190], ["digests_v1", 3]]) {
  test(`${file}: the text runs on Dawn to the same bits`, async () => {
    assert(VK_DRIVER_FILES, "VK_DRIVER_FILES names a driver");
    const device = await deviceOf([]);
    const folder = join(WGSL_FOLDER, file);
    const { cases } = JSON.parse(readFileSync(join(VECTORS, `${file}.json`), "utf8"));
    const recipes = JSON.parse(readFileSync(join(folder, "recipes.json"), "utf8"));
    assert.equal(recipes.length, cases.length);
    const pipelines = new Map();
    let followed = 0;
    for (const [i, vector] of cases.entries()) {
      // Calls with an index map have none.
      if (recipes[i] === null) {
        assert(vector.mask_strides);
        continue;
      }
      const bytes = BYTES[vector.dtype];
      const input = vector.input ? bytesOf(vector.input, bytes) : ruled(vector.n, bytes);
      const output = await follow(device, pipelines, recipes[i], folder, input, bytes);
      const name = vector.name ?? `${vector.dtype} n ${vector.n}`;
      if (vector.output) {
        assert.deepEqual(output, bytesOf(vector.output, bytes), name);
      } else {
        assert.equal(createHash("sha256").update(output).digest("hex"), vector.output_sha256, name);
      }
      followed += 1;
    }
    assert(followed >= least, `${followed} calls`);
    device.destroy();
  });
}

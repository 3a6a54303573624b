// The WGSL as published, under a WGSL compiler that is not naga: Dawn's, with no Rust in between.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, test } from "node:test";
import { callsOf } from "./calls.mjs";
import { deviceOf, pipelineOf } from "./dawn.mjs";

const { REPOSITORY, OTHER_ENGINE, WGSL_FOLDER, VK_DRIVER_FILES } = process.env;
assert(REPOSITORY && OTHER_ENGINE && WGSL_FOLDER, "run by cargo xtask test-web");
const SHADERS = join(WGSL_FOLDER, "wgsl");
const TILES = ["elements16", "bytes16"];
const calls = callsOf(join(REPOSITORY, "tests/vectors")).flatMap((known) =>
  TILES.map((tile) => ({ ...known, call: { ...known.call, tile } })),
);

before(() => {
  rmSync(WGSL_FOLDER, { recursive: true, force: true });
  mkdirSync(WGSL_FOLDER, { recursive: true });
  const file = join(WGSL_FOLDER, "calls.json");
  writeFileSync(file, JSON.stringify({ cases: calls.map(({ call }) => call) }));
  execFileSync(OTHER_ENGINE, [WGSL_FOLDER, file], { stdio: "inherit" });
});

// The sums of a bias's gradient, and the pair of shaders that fill parameters in.
const isRun = (file) => !/bias-gradient|device-call/.test(file);

test("shaders that are not run here pass Tint", async () => {
  const device = await deviceOf(["backend=null"]);
  const files = readdirSync(SHADERS).filter((file) => !isRun(file));
  assert(files.length > 10, `${files.length} shaders`);
  for (const file of files) {
    const text = readFileSync(join(SHADERS, file), "utf8");
    await assert.doesNotReject(pipelineOf(device, text), file);
  }
  // That it would be noticed.
  const text = readFileSync(join(SHADERS, files[0]), "utf8");
  await assert.rejects(pipelineOf(device, text.replace("@compute", "@compute @vertex")), /error/);
  await assert.rejects(pipelineOf(device, `${text}\nfn wide() -> u64 { return 0; }`), /u64/);
  device.destroy();
});

const BLANK = 0xca;

/** Records the dispatches of a call; what its buffers hold afterwards is to be mapped. */
function record(device, encoder, pipelines, { before, after, sha256, recipe }) {
  const { STORAGE, COPY_DST, COPY_SRC, MAP_READ, UNIFORM } = GPUBufferUsage;
  const made = [];
  const buffer = (bytes, usage) => {
    const size = Math.ceil(bytes.length / 4) * 4;
    const buffer = device.createBuffer({ size, usage, mappedAtCreation: true });
    new Uint8Array(buffer.getMappedRange()).fill(BLANK).set(bytes);
    buffer.unmap();
    made.push(buffer);
    return buffer;
  };
  const blank = (length) => Buffer.alloc(length, BLANK);
  const own = {};
  for (const name of ["input", "output", "mask", "bias", "residual", "seeds"]) {
    const bytes = before[name] ?? (after?.[name] && blank(after[name].length));
    if (bytes) {
      own[name] = buffer(bytes, STORAGE | COPY_SRC);
    }
  }
  for (const { shader, bindings, parameters, workgroups } of recipe) {
    const pipeline = pipelines.get(shader);
    const group = (index, entries) => device.createBindGroup({ layout: pipeline.getBindGroupLayout(index), entries });
    const resource = ({ buffer: name, bytes, uniform }) => {
      if (name) {
        return { buffer: own[name], offset: bytes[0], size: bytes[1] - bytes[0] };
      }
      return { buffer: uniform ? buffer(Buffer.from(uniform, "hex"), UNIFORM) : buffer(blank(64), STORAGE) };
    };
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, group(0, bindings.map((bound) => ({ binding: bound.index, resource: resource(bound) }))));
    pass.setBindGroup(1, group(1, [{ binding: 0, resource: resource({ uniform: parameters }) }]));
    pass.dispatchWorkgroups(...workgroups);
    pass.end();
  }
  const results = Object.keys(after ?? sha256).map((name) => {
    const staging = device.createBuffer({ size: own[name].size, usage: MAP_READ | COPY_DST });
    encoder.copyBufferToBuffer(own[name], 0, staging, 0, own[name].size);
    made.push(staging);
    return [name, staging];
  });
  return { results, made };
}

/** What a buffer must hold: the expected bytes, and behind them in the last word what was there. */
function whole(bytes) {
  const words = Buffer.alloc(Math.ceil(bytes.length / 4) * 4, BLANK);
  bytes.copy(words);
  return words;
}

function check({ name, call, after, sha256, recipe }, result, bytes) {
  const message = `${result} of ${name}: ${JSON.stringify(call)}, by ${recipe.map(({ shader }) => shader)}`;
  if (sha256) {
    assert.equal(createHash("sha256").update(bytes).digest("hex"), sha256[result], message);
  } else if (result === "mask") {
    assert(bytes.subarray(0, after.mask.length).equals(after.mask), message);
  } else {
    assert(bytes.equals(whole(after.output)), message);
  }
}

test("every variant runs on Dawn to the known answers", async () => {
  assert(VK_DRIVER_FILES, "VK_DRIVER_FILES names a driver");
  const device = await deviceOf([]);
  const recipes = JSON.parse(readFileSync(join(WGSL_FOLDER, "recipes.json"), "utf8"));
  assert.equal(recipes.length, calls.length);
  const pipelines = new Map();
  for (const shader of new Set(recipes.flat().map(({ shader }) => shader))) {
    pipelines.set(shader, await pipelineOf(device, readFileSync(join(SHADERS, shader), "utf8")));
  }
  const variants = readdirSync(SHADERS).filter(isRun);
  assert(variants.length > 1000, `${variants.length} variants`);
  assert.deepEqual([...pipelines.keys()].sort(), variants.sort());

  const followed = calls.map((call, n) => ({ ...call, recipe: recipes[n] }));
  const BATCH = 200;
  for (let first = 0; first < followed.length; first += BATCH) {
    device.pushErrorScope("validation");
    const encoder = device.createCommandEncoder();
    const batch = followed.slice(first, first + BATCH);
    const recorded = batch.map((call) => record(device, encoder, pipelines, call));
    device.queue.submit([encoder.finish()]);
    const error = await device.popErrorScope();
    assert(!error, error?.message);
    for (const [n, { results, made }] of recorded.entries()) {
      for (const [result, staging] of results) {
        await staging.mapAsync(GPUMapMode.READ);
        check(batch[n], result, Buffer.from(staging.getMappedRange()));
      }
      for (const buffer of made) {
        buffer.destroy();
      }
    }
  }
  device.destroy();
});

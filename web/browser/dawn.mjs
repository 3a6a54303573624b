// Dawn in Node, from the npm package `webgpu`.
import assert from "node:assert/strict";
import { create, globals } from "webgpu";

Object.assign(globalThis, globals);

// Dawn ends with an instance that nothing refers to, whatever else still lives of it.
const instances = [];

export async function deviceOf(options) {
  const gpu = create(options);
  const adapter = await gpu.requestAdapter();
  assert(adapter, "an adapter");
  instances.push(gpu, adapter);
  return adapter.requestDevice();
}

/** A pipeline of the text, or an error with line and column. */
export async function pipelineOf(device, code) {
  device.pushErrorScope("validation");
  const module = device.createShaderModule({ code });
  // At once: a third of the time of an asynchronous one is Node's, asking over and over whether it is there.
  const pipeline = device.createComputePipeline({ layout: "auto", compute: { module, entryPoint: "main" } });
  const error = await device.popErrorScope();
  if (error) {
    const { messages } = await module.getCompilationInfo();
    const lines = messages.map(({ lineNum, linePos, message }) => `${lineNum}:${linePos} ${message}`);
    throw new Error([error.message, ...lines].join("\n"));
  }
  return pipeline;
}

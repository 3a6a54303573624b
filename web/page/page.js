// The page: finds the GPU, loads the WebAssembly and starts the three parts.
import init, { Gpu } from "./pkg/wgpu_dropout.js";
import { benchmark } from "./benchmark.js";
import { playground } from "./playground.js";
import { verification } from "./verification.js";

const adapter = document.getElementById("adapter");

/** The GPU, or nothing and the reason on the page. */
async function gpu() {
  try {
    if (!navigator.gpu) {
      throw new Error(
        window.isSecureContext ? "This browser has no navigator.gpu." : "This address is not secure: use https or localhost.",
      );
    }
    const gpu = await Gpu.request();
    const { vendor, architecture, description } = (await navigator.gpu.requestAdapter())?.info ?? {};
    const name = description || [vendor, architecture].filter(Boolean).join(" ") || "the browser does not say which";
    adapter.textContent = `WebGPU adapter: ${name}.`;
    return gpu;
  } catch (error) {
    adapter.textContent = "No WebGPU; the CPU path computes instead.";
    document.getElementById("missing-why").textContent = error.message;
    document.getElementById("missing").hidden = false;
    return undefined;
  }
}

try {
  await init();
  const device = await gpu();
  // Pictures first; both others wait for a button.
  playground(device);
  if (device) {
    verification(device);
    benchmark(device);
  }
} catch (error) {
  adapter.textContent = `This page could not start: ${error.message}`;
  throw error;
}

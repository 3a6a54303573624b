// The CPU path under Node.js: one step over twelve elements, and its mask.
import { readFile } from "node:fs/promises";
import init, { Dropout } from "../wgpu_dropout.js";

await init({ module_or_path: await readFile(new URL("../wgpu_dropout_bg.wasm", import.meta.url)) });

const step = new Dropout(0.5, 42n).withSubsequence(7n);
const x = Float32Array.from({ length: 12 }, (_, i) => i + 1);
console.log("x   ", ...x);
console.log("y   ", ...step.forward(x));
console.log("mask", ...step.mask(x.length));

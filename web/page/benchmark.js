// The page's benchmark: a table and a plot of the times that the WebAssembly measures.
import { Dropout } from "./pkg/wgpu_dropout.js";
import { power, share, time } from "./format.js";
import { plot } from "./plot.js";

const by = (id) => document.getElementById(id);
const DTYPES = ["f32", "f16", "bf16"];
const LEAST = 16;

/** The button that times forward beside the copy kernel and the CPU path. */
export function benchmark(gpu) {
  const [button, progress, result] = [by("bench"), by("bench-progress"), by("bench-result")];
  button.disabled = false;
  button.addEventListener("click", async () => {
    button.disabled = true;
    progress.hidden = false;
    result.className = "";
    const dropout = new Dropout(0.1, 42n);
    const cases = [];
    const most = Math.min(Number(by("bench-most").value), Math.floor(Math.log2(gpu.maxElements)));
    for (let log2 = LEAST; log2 <= most; log2 += 2) {
      cases.push(...DTYPES.map((dtype) => ({ dtype, log2 })));
    }
    progress.max = cases.length;
    progress.value = 0;
    const rows = [];
    try {
      for (const { dtype, log2 } of cases) {
        result.textContent = `${dtype}, ${power(log2)} elements…`;
        const { forward, copy, cpu, bytes } = await gpu.measure(dropout, dtype, 2 ** log2);
        rows.push({ dtype, log2, forward, copy, cpu, bytes });
        progress.value = rows.length;
        show(rows);
      }
      const { dtype, log2, forward, copy, bytes } = rows[rows.length - DTYPES.length];
      result.textContent =
        `At ${power(log2)} elements of ${dtype} forward takes ${time(forward)}, ${(bytes / forward / 1e9).toFixed(1)} GB/s: ` +
        `${share(copy / forward)} of the copy kernel's speed.`;
    } catch (error) {
      result.className = "bad";
      result.textContent = `The benchmark stopped: ${error.message}`;
    }
    dropout.free();
    progress.hidden = true;
    button.disabled = false;
  });
}

function show(rows) {
  by("bench-table").hidden = false;
  by("bench-rows").replaceChildren(
    ...rows.map(({ dtype, log2, forward, copy, cpu, bytes }) => {
      const row = document.createElement("tr");
      const cells = [
        dtype, power(log2), time(forward), (bytes / forward / 1e9).toFixed(1), time(copy), share(copy / forward), time(cpu),
        `${(cpu / forward).toFixed(1)} ×`,
      ];
      row.append(...cells.map((text) => Object.assign(document.createElement("td"), { textContent: text })));
      return row;
    }),
  );
  const lines = DTYPES.map((dtype) => ({
    name: dtype,
    points: rows.filter((row) => row.dtype === dtype).map((row) => [row.log2, row.copy / row.forward]),
  }));
  const figure = by("bench-plot");
  figure.hidden = false;
  figure.replaceChildren(plot("Share of the copy kernel's speed, over elements", lines));
}

// The page's playground: a layer's activations through dropout, forward, backward and at inference.
import { Dropout } from "./pkg/wgpu_dropout.js";

const by = (id) => document.getElementById(id);
const STEPS = 256;

/** Activations by name: `[channels, height, width]`, values of 0 and more, and how many maps stand beside each other. */
const sources = {
  maps: () => {
    const [channels, side] = [12, 24];
    const x = new Float32Array(channels * side * side);
    for (let c = 0; c < channels; c++) {
      const angle = (Math.PI * c) / channels;
      for (let i = 0; i < side; i++) {
        for (let j = 0; j < side; j++) {
          const [u, v] = [(j + 0.5) / side - 0.5, (i + 0.5) / side - 0.5];
          const wave = Math.cos((9 + c) * (u * Math.cos(angle) + v * Math.sin(angle)));
          // What a rectifier leaves of a filter's answer.
          x[(c * side + i) * side + j] = Math.max(0, wave * Math.exp(-5 * (u * u + v * v)) + 0.15);
        }
      }
    }
    return { x, shape: [channels, side, side], columns: 4 };
  },
  picture: () => {
    const side = 72;
    const x = new Float32Array(3 * side * side);
    for (let i = 0; i < side; i++) {
      for (let j = 0; j < side; j++) {
        const [u, v] = [j / side, i / side];
        const sun = Math.hypot(u - 0.7, v - 0.28) < 0.14;
        const hill = v > 0.62 + 0.12 * Math.sin(7 * u);
        const near = v > 0.8 + 0.07 * Math.cos(11 * u);
        const rgb = near ? [0.16, 0.38, 0.2] : hill ? [0.3, 0.55, 0.28] : sun ? [1, 0.84, 0.35] : [0.45 + 0.4 * v, 0.65 + 0.2 * v, 0.95];
        rgb.forEach((value, c) => (x[(c * side + i) * side + j] = value));
      }
    }
    return { x, shape: [3, side, side], columns: 1, colours: true };
  },
};

/** The noise shape of a mask over `[c, h, w]`. */
const noises = {
  element: ([c, h, w]) => [c, h, w],
  channel: ([c]) => [c, 1, 1],
  place: ([, h, w]) => [1, h, w],
  row: ([c, h]) => [c, h, 1],
};

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
const digits = (value) => value.toFixed(4);

/** Draws maps, brighter for more; dropped elements are hatched. */
function draw(canvas, values, { shape: [channels, height, width], columns, colours }, most, mask) {
  const gap = colours ? 0 : 1;
  const rows = colours ? 1 : channels / columns;
  canvas.width = columns * (width + gap) - gap;
  canvas.height = rows * (height + gap) - gap;
  const context = canvas.getContext("2d");
  const image = context.createImageData(canvas.width, canvas.height);
  const level = (value) => Math.min(255, Math.max(0, (255 * value) / most));
  for (let c = 0; c < (colours ? 1 : channels); c++) {
    for (let i = 0; i < height; i++) {
      for (let j = 0; j < width; j++) {
        const at = (c * height + i) * width + j;
        const to = 4 * ((Math.floor(c / columns) * (height + gap) + i) * canvas.width + (c % columns) * (width + gap) + j);
        if (colours) {
          // A colour that is dropped is missing from the light.
          for (let k = 0; k < 3; k++) {
            image.data[to + k] = level(values[k * height * width + at]);
          }
        } else if (mask && !mask[at]) {
          const stripe = (i + j) % 4 < 2;
          image.data.set(stripe ? [178, 60, 11] : [120, 40, 8], to);
        } else {
          image.data.fill(level(values[at]), to, to + 3);
        }
        image.data[to + 3] = 255;
      }
    }
  }
  context.putImageData(image, 0, 0);
}

/** Reads the controls; throws what to tell where they make no sense. */
function read() {
  const seed = by("seed").value.trim();
  if (!/^[0-9]{1,20}$/.test(seed) || BigInt(seed) >= 2n ** 64n) {
    throw new Error("The seed is a whole number from 0 to 18446744073709551615.");
  }
  return {
    p: Number(by("p").value),
    subsequence: Number(by("subsequence").value),
    seed: BigInt(seed),
    source: by("source").value,
    mask: by("mask").value,
    classic: document.querySelector("input[name=scale]:checked").value === "classic",
  };
}

function call({ p, seed, mask, classic }, shape, subsequence) {
  const made = [new Dropout(p, seed)];
  const then = (next) => made.push(next(made.at(-1)));
  then((dropout) => dropout.withSubsequence(BigInt(subsequence)));
  then((dropout) => dropout.withNoiseShape(Uint32Array.from(shape), Uint32Array.from(noises[mask](shape))));
  if (classic) {
    then((dropout) => dropout.withClassicScale());
  }
  const last = made.pop();
  made.forEach((dropout) => dropout.free());
  return last;
}

/** Means over many steps: what a single step's mean scatters around. */
function longMeans(controls, { x, shape }) {
  let [dropped, y] = [0, 0];
  for (let step = 0; step < STEPS; step++) {
    const dropout = call(controls, shape, step);
    const scale = dropout.trainingScale;
    const after = mean(dropout.forward(x));
    dropout.free();
    y += after / STEPS;
    // Where nothing is kept there is no scale to divide by.
    dropped += (scale ? after / scale : 0) / STEPS;
  }
  return { dropped, y };
}

/** The sliders and what they show: on the GPU where there is one, else on the CPU path. */
export function playground(gpu) {
  let asked = 0;
  let settled = 0;

  async function update() {
    const mine = ++asked;
    let controls;
    try {
      controls = read();
    } catch (error) {
      by("playground-summary").textContent = error.message;
      return;
    }
    by("p-value").textContent = controls.p.toFixed(2);
    by("subsequence-value").textContent = controls.subsequence;
    const source = sources[controls.source]();
    const { x, shape } = source;
    const dropout = call(controls, shape, controls.subsequence);
    const ones = new Float32Array(x.length).fill(1);
    const y = gpu ? await gpu.forward(dropout, x) : dropout.forward(x);
    const dx = gpu ? await gpu.backward(dropout, ones) : dropout.backward(ones);
    const mask = dropout.mask(x.length);
    const inference = dropout.inference(x);
    const [scale, keep] = [dropout.trainingScale, dropout.keepProbability];
    dropout.free();
    if (mine !== asked) {
      return;
    }
    const most = Math.max(...x) * (controls.classic ? 1 : Math.min(4, Math.max(1, scale)));
    draw(by("x"), x, source, Math.max(...x));
    draw(by("y"), y, source, most, mask);
    draw(by("dx"), dx, source, Math.max(1, scale), mask);
    draw(by("inference"), inference, source, Math.max(...x));

    const kept = mask.reduce((sum, bit) => sum + bit, 0);
    const same = dx.every((value, i) => value !== 0 === (mask[i] === 1 && scale !== 0));
    by("y-caption").textContent = `${kept} of ${x.length} kept × ${scale.toFixed(3)}`;
    by("dx-caption").textContent = same ? "the same mask, drawn again" : "ANOTHER MASK: please report this";
    by("inference-caption").textContent = controls.classic ? `x × ${keep.toFixed(3)}` : "x as it is";
    by("mean-x").textContent = by("long-x").textContent = digits(mean(x));
    by("mean-dropped").textContent = digits(scale ? mean(y) / scale : 0);
    by("mean-y").textContent = digits(mean(y));
    by("mean-inference").textContent = by("long-inference").textContent = digits(mean(inference));
    by("playground-summary").textContent =
      `${kept} of ${x.length} elements kept (${((100 * kept) / x.length).toFixed(1)} %, expected ${(100 * keep).toFixed(1)} %), ` +
      `drawn on the ${gpu ? "GPU" : "CPU"}; the backward mask is ${same ? "the same" : "ANOTHER"}.`;
    by("why").textContent = controls.classic
      ? `Classic: training leaves what is kept as it is, so its mean is ${keep.toFixed(2)} of x's; inference multiplies by ` +
        `${keep.toFixed(2)} to agree. The gradient is not scaled, because the forward is not.`
      : `Inverted: training divides what is kept by ${keep.toFixed(2)}, so its mean stays x's, and inference does nothing. The ` +
        "gradient carries the same factor, because the forward does: y = a · f(z) has dy/dz = a · f′(z).";
    // Dearer, and wanted once the sliders rest.
    const long = longMeans(controls, source);
    by("long-dropped").textContent = digits(long.dropped);
    by("long-y").textContent = digits(long.y);
    document.body.dataset.settled = ++settled;
  }

  const form = by("controls");
  form.addEventListener("input", update);
  form.addEventListener("submit", (event) => event.preventDefault());
  update();
}

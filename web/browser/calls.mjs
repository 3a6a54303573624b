// The known answers as calls for another engine: for each, what `examples/other_engine.rs` is asked, what its buffers
// hold before, and what they must hold after. Between them they reach every variant of the kernels.
import { readFileSync } from "node:fs";
import { join } from "node:path";

const BYTES = { f32: 4, f16: 2, bf16: 2 };

/** Little-endian bytes of numbers. */
function packed(numbers, bytesOfEach) {
  const bytes = Buffer.alloc(numbers.length * bytesOfEach);
  numbers.forEach((number, i) => bytes.writeUIntLE(number, i * bytesOfEach, bytesOfEach));
  return bytes;
}

const parsed = (patterns) => patterns.map((pattern) => parseInt(pattern, 16));

/** Bytes of a u64 in hex, as two words, the lower one first. */
const seedBytes = (hex) => Buffer.from(hex.padStart(16, "0"), "hex").reverse();

const NAN = { f32: [0x7f800000, 0x7fc00000], f16: [0x7c00, 0x7e00], bf16: [0x7f80, 0x7fc0] };

/** What a fused forward makes of an output: any NaN is the canonical one. */
function fusedOutput(bytes, dtype) {
  const size = BYTES[dtype];
  const [infinity, canonical] = NAN[dtype];
  const fused = Buffer.from(bytes);
  for (let at = 0; at < fused.length; at += size) {
    if ((fused.readUIntLE(at, size) & (size === 4 ? 0x7fffffff : 0x7fff)) > infinity) {
      fused.writeUIntLE(canonical, at, size);
    }
  }
  return fused;
}

const PLACES = ["apart", "shared_buffer", "over_input"];

/** Where a call of these buffers has its input: its own, or the output's. */
function placed(place, input) {
  return place === "over_input" ? { output: input } : { input };
}

/** The forms of one tensor's draw: with and without stored masks, with neighbours that change nothing. */
function* drawn({ name, call, seeds, input, output, bits, bytes, alone }) {
  const masks = { bits, bytes };
  // -0 can be added to anything.
  const zeros = Buffer.alloc(input.length);
  for (let last = BYTES[call.dtype] - 1; last < zeros.length; last += BYTES[call.dtype]) {
    zeros[last] = 0x80;
  }
  for (const place of PLACES) {
    const before = { ...placed(place, input), seeds };
    yield { name, call: { ...call, place }, before, after: { output } };
    if (alone) {
      continue;
    }
    for (const mask of ["bits", "bytes"]) {
      yield { name, call: { ...call, place, mask }, before, after: { output, mask: masks[mask] } };
    }
    if (place !== "shared_buffer") {
      const fused = { ...call, place, operation: "forward_fused" };
      const after = { output: fusedOutput(output, call.dtype) };
      yield { name, call: fused, before, after };
      yield { name, call: { ...fused, has_residual: true }, before: { ...before, residual: zeros }, after };
    }
  }
  if (alone) {
    return;
  }
  for (const mask of ["bits", "bytes"]) {
    yield { name, call: { ...call, operation: "mask", mask }, before: { seeds }, after: { mask: masks[mask] } };
  }
  const fused = { ...call, operation: "forward_fused", has_residual: true, place: "over_residual" };
  yield { name, call: fused, before: { input, output: zeros, seeds }, after: { output: fusedOutput(output, call.dtype) } };
}

/** A case of `dropout_v1.json` in every form it can be asked for. */
function* ofDropout(vector) {
  const { name, input, output, bit_mask, byte_mask, threshold, scale_bits, ...call } = vector;
  const size = BYTES[call.dtype];
  const [x, y] = [parsed(input), parsed(output)];
  const buffers = { input: packed(x, size), output: packed(y, size) };
  const bits = packed(parsed(bit_mask), 4);
  const bytes = packed([...byte_mask].map(Number), 1);
  yield* drawn({ name, call, ...buffers, bits, bytes });

  for (const place of PLACES) {
    for (const mask of ["bits", "bytes"]) {
      const backward = { ...call, place, operation: "backward_stored", mask };
      const before = { ...placed(place, buffers.input), mask: { bits, bytes }[mask] };
      yield { name, call: backward, before, after: { output: buffers.output } };
      yield { name, call: { ...backward, shared_mask: true }, before, after: { output: buffers.output } };
    }
  }
  if (call.mask_strides) {
    return;
  }

  // The seed from a buffer: drawn through an index map, though there is none.
  const seeded = { ...call, seed: "0", elements_per_seed: call.n };
  yield* drawn({ name: `${name}, seeded`, call: seeded, seeds: seedBytes(call.seed), ...buffers, bits, bytes });

  // Every element 16 times, sharing its decision; the last ones less often.
  const repeated = (numbers) => packed(numbers.flatMap((number) => Array(16).fill(number)).slice(0, 16 * call.n - 5), size);
  yield* drawn({
    name: `${name}, each element 16 times`,
    call: { ...call, n: 16 * call.n - 5, shape: [call.n, 16], mask_strides: ["1", "0"] },
    input: repeated(x),
    output: repeated(y),
    alone: true,
  });

  yield* asColumns({ name, call, x, y });

  // Every other 16 elements, from the first that starts a tile on; the last ones are cut.
  const offset = BigInt(`0x${call.element_offset}`);
  const first = Number((16n - (offset % 16n)) % 16n);
  const rows = Math.floor((call.n - first + 16) / 32);
  if (rows >= 2) {
    const n = 16 * rows - 5;
    const picked = (numbers) => packed(numbers.filter((_, i) => i >= first && (i - first) % 32 < 16).slice(0, n), size);
    yield* drawn({
      name: `${name}, every other 16 elements`,
      call: {
        ...call,
        n,
        element_offset: (offset + BigInt(first)).toString(16),
        shape: [rows, 16],
        mask_strides: ["20", "1"],
      },
      input: picked(x),
      output: picked(y),
      alone: true,
    });
  }
}

/** The elements of a case, as many as fit, as columns of a matrix with rows of one tile. */
function* asColumns({ name, call, x, y }) {
  const size = BYTES[call.dtype];
  const rows = Math.floor(call.n / 16);
  if (rows < 2) {
    return;
  }
  const picked = (numbers) =>
    packed(Array.from({ length: 16 * rows }, (_, i) => numbers[(i % 16) * rows + Math.floor(i / 16)]), size);
  yield* drawn({
    name: `${name}, as columns`,
    call: { ...call, n: 16 * rows, shape: [rows, 16], mask_strides: ["1", rows.toString(16)] },
    input: picked(x),
    output: picked(y),
    alone: true,
  });
}

/** A case of `fused_v1.json`, over each of its buffers, and seeded. */
function* ofFused({ name, rows, cols, input, bias, residual, output, ...of }) {
  const bytes = (patterns) => patterns && packed(parsed(patterns), BYTES[of.dtype]);
  const call = {
    ...of,
    n: rows * cols,
    operation: "forward_fused",
    columns: bias ? cols : undefined,
    has_residual: Boolean(residual),
  };
  const after = { output: bytes(output) };
  const seeded = { seed: "0", elements_per_seed: call.n };
  for (const [asked, seeds] of [
    [call, undefined],
    [{ ...call, ...seeded }, seedBytes(call.seed)],
  ]) {
    const before = { input: bytes(input), bias: bytes(bias), residual: bytes(residual), seeds };
    yield { name, call: asked, before, after };
    yield { name, call: { ...asked, place: "over_input" }, before: { ...before, output: before.input }, after };
    if (residual) {
      yield { name, call: { ...asked, place: "over_residual" }, before: { ...before, output: before.residual }, after };
    }
  }
}

/** A case of `inference_v1.json`, whole and cut, and inverted dropout, which leaves every bit as it is. */
function* ofInference({ input, output, factor_bits, ...of }) {
  const unused = { seed: "0", subsequence: "0", element_offset: "0" };
  const bytes = (patterns, n) => packed(parsed(patterns).slice(0, n), BYTES[of.dtype]);
  for (const n of [of.n, of.n - 3]) {
    for (const [scale_mode, expected] of [
      ["classic", output],
      ["inverted", input],
    ]) {
      for (const place of PLACES) {
        yield {
          name: `inference of ${of.dtype} with p ${of.p}`,
          call: { ...of, ...unused, place, n, scale_mode, operation: "inference" },
          before: placed(place, bytes(input, n)),
          after: { output: bytes(expected, n) },
        };
      }
    }
  }
}

/** A case of `digests_v1.json`, in one window and in many. */
function* ofDigests({ kept, input_rule, output_sha256, bit_mask_sha256, ...call }) {
  const input = Buffer.alloc(4 * call.n);
  for (let i = 0; i < call.n; i++) {
    input.writeUInt32LE((Math.imul(i, 2654435761) + 12345) >>> 0, 4 * i);
  }
  const blank = Buffer.alloc(4 * Math.ceil(call.n / 32));
  const name = `digest of ${call.n} elements`;
  const sha256 = { output: output_sha256, mask: bit_mask_sha256 };
  for (const max_binding_bytes of [undefined, 100_000]) {
    yield { name, call: { ...call, max_binding_bytes, mask: "bits" }, before: { input, output: input, mask: blank }, sha256 };
  }
}

/** All of them. */
export function callsOf(vectors) {
  const cases = (file) => JSON.parse(readFileSync(join(vectors, `${file}.json`), "utf8")).cases;
  const of = (file, calls) => cases(file).flatMap((vector) => [...calls(vector)]);
  return [
    ...of("dropout_v1", ofDropout),
    ...of("fused_v1", ofFused),
    ...of("inference_v1", ofInference),
    ...of("digests_v1", ofDigests),
  ];
}

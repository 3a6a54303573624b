// The npm package as it would be installed: packed, unpacked elsewhere, typed and run. PACKAGE is its folder.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { chromium } from "playwright-core";
import { FLAGS } from "./flags.mjs";

const { PACKAGE, PACKAGE_PAGE, CHROMIUM } = process.env;
assert(PACKAGE && PACKAGE_PAGE && CHROMIUM, "run by cargo xtask test-web");

let user;
before(() => {
  user = mkdtempSync(join(tmpdir(), "wgpu-dropout-user-"));
  const [{ filename }] = JSON.parse(execFileSync("npm", ["pack", "--json", "--pack-destination", user], { cwd: PACKAGE }));
  writeFileSync(join(user, "package.json"), '{ "type": "module" }');
  execFileSync("npm", ["install", "--offline", "--no-audit", "--no-fund", join(user, filename)], { cwd: user });
});
after(() => rmSync(user, { recursive: true }));

test("its example runs under Node", () => {
  const said = String(execFileSync("node", [join(user, "node_modules/wgpu-dropout/example/node.mjs")]));
  const [x, y, mask] = said.trim().split("\n").map((line) => line.trim().split(/\s+/).slice(1).map(Number));
  assert.equal(x.length, 12);
  assert(mask.includes(0) && mask.includes(1));
  assert.deepEqual(y, x.map((value, i) => 2 * value * mask[i]));
});

test("its types are those of the README", () => {
  const use = `import init, { Dropout, Gpu } from "wgpu-dropout";
await init();
const step: Dropout = new Dropout(0.1, 42n).withSubsequence(7n).withElementOffset(3n).withRandomBits(16).withClassicScale();
const y: Float32Array = step.forward(Float32Array.of(1, 2));
const channels = step.withNoiseShape(Uint32Array.of(8, 16, 16), Uint32Array.of(8, 1, 1));
const gpu: Gpu = await Gpu.request();
const same: Float32Array = await gpu.forward(channels, y);
const { passed, operations } = await gpu.verify((done: number, total: number) => undefined);
const names: string[] = operations.map((operation) => operation.operation);
export { passed, names, same };
`;
  const check = (name, text) => {
    writeFileSync(join(user, name), text);
    const tsc = join(import.meta.dirname, "node_modules/typescript/bin/tsc");
    const options = ["--noEmit", "--strict", "--target", "es2022", "--lib", "esnext,dom", "--module", "nodenext", "--skipLibCheck", "false", "--ignoreConfig"];
    execFileSync("node", [tsc, ...options, name], { cwd: user, stdio: "pipe" });
  };
  check("use.mts", use);
  assert.throws(() => check("misuse.mts", use.replace("42n", "42")), "a seed is a bigint");
});

test("its example runs in a browser", async () => {
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: FLAGS });
  const page = await browser.newPage();
  const complaints = [];
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && complaints.push(message.text()));
  await page.goto(`${PACKAGE_PAGE}example/index.html`);
  await page.waitForFunction(() => document.getElementById("out").textContent.includes("the same bits"));
  assert.deepEqual(complaints, []);
  await browser.close();
});

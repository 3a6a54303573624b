// The page in a real Chromium: what a visitor does, and that nothing complains.
// PAGE is its address, CHROMIUM the browser, SCREENSHOTS a folder for pictures.
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { chromium } from "playwright-core";
import { FLAGS } from "./flags.mjs";

const { PAGE, CHROMIUM, SCREENSHOTS } = process.env;
// How long a page may take that compiles hundreds of kernels on a software adapter, beside whatever else the machine does.
const PATIENCE = 1_500_000;
assert(PAGE && CHROMIUM && SCREENSHOTS, "run by cargo xtask test-web");
let browser;
before(async () => {
  browser = await chromium.launch({ executablePath: CHROMIUM, args: FLAGS });
});
after(() => browser?.close());

/** A page of its own, whose complaints fail the test. */
async function visit(options = {}, prepare = () => {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  const page = await context.newPage();
  const complaints = [];
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && complaints.push(message.text()));
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("requestfailed", (request) => complaints.push(`${request.url()} failed`));
  await page.addInitScript(prepare);
  await page.goto(PAGE);
  await page.waitForFunction(() => document.body.dataset.settled);
  return { page, complaints, close: () => context.close() };
}

const text = (page, id) => page.locator(`#${id}`).textContent();

/** Changes a control and waits until the page has followed. */
async function change(page, act) {
  const before = await page.evaluate(() => Number(document.body.dataset.settled));
  await act();
  await page.waitForFunction((before) => Number(document.body.dataset.settled) > before, before);
}

const pixels = (page, id) => page.evaluate((id) => document.getElementById(id).toDataURL(), id);

test("the playground follows its controls", async () => {
  const { page, complaints, close } = await visit();
  assert.match(await text(page, "adapter"), /^WebGPU adapter: (?!the browser)./);
  assert.match(await text(page, "playground-summary"), /drawn on the GPU; the backward mask is the same\./);
  assert.match(await text(page, "playground-summary"), /expected 70\.0 %/);
  const first = { y: await pixels(page, "y"), dx: await pixels(page, "dx"), x: await pixels(page, "x") };

  // By keyboard, as a screen reader's user would.
  await page.locator("#subsequence").focus();
  await change(page, () => page.keyboard.press("ArrowRight"));
  assert.notEqual(await pixels(page, "y"), first.y, "another step, another mask");
  assert.equal(await pixels(page, "x"), first.x);
  await change(page, () => page.keyboard.press("ArrowLeft"));
  assert.equal(await pixels(page, "y"), first.y, "the same step, the same mask");

  await change(page, () => page.locator("#seed").fill("18446744073709551615"));
  assert.notEqual(await pixels(page, "dx"), first.dx);
  await page.locator("#seed").fill("18446744073709551616");
  await page.waitForFunction(() => document.getElementById("playground-summary").textContent.includes("whole number"));
  await change(page, () => page.locator("#seed").fill("42"));

  const means = async () => {
    const cells = await page.locator("table td[id^=mean], table td[id^=long]").allTextContents();
    return cells.map(Number);
  };
  const [x, longX, , longDropped, , longY, inference] = await means();
  assert.equal(x, longX);
  assert.equal(inference, x, "inverted dropout leaves inference alone");
  assert(Math.abs(longY / x - 1) < 0.01, `training ${longY} agrees with ${x} on average`);
  assert(Math.abs(longDropped / x - 0.7) < 0.01, `without the scale ${longDropped} does not`);

  await change(page, () => page.locator("input[value=classic]").check());
  const classic = await means();
  assert(Math.abs(classic[5] / classic[6] - 1) < 0.01, "classic: training and inference agree on average");
  assert(Math.abs(classic[6] / x - 0.7) < 0.001, "classic: inference is scaled");
  await change(page, () => page.locator("input[value=inverted]").check());

  for (const mask of ["channel", "place", "row"]) {
    await change(page, () => page.locator("#mask").selectOption(mask));
    assert.match(await text(page, "playground-summary"), /the same\.$/);
  }
  const kept = async () => Number((await text(page, "y-caption")).split(" ")[0]);
  await change(page, () => page.locator("#mask").selectOption("channel"));
  assert.equal((await kept()) % (24 * 24), 0, "whole channels");
  await change(page, () => page.locator("#p").fill("1"));
  assert.equal(await kept(), 0);
  await change(page, () => page.locator("#p").fill("0"));
  assert.equal(await kept(), 12 * 24 * 24);
  await change(page, () => page.locator("#source").selectOption("picture"));
  assert.match(await text(page, "y-caption"), /^15552 of 15552 kept/);
  assert.deepEqual(complaints, []);
  await close();
});

test("verification passes", async () => {
  const { page, complaints, close } = await visit();
  await page.locator("#verify").click();
  await page.waitForFunction(() => document.getElementById("verify-result").className !== "", undefined, { timeout: PATIENCE });
  const result = await text(page, "verify-result");
  assert.match(result, /^Every bit agrees: /, result);
  console.log(result);
  assert((await page.locator("#verify-rows tr").count()) > 50);
  assert.deepEqual(complaints, []);
  await close();
});

test("the benchmark finishes with a table and a plot", async () => {
  const { page, complaints, close } = await visit();
  await page.locator("#bench-most").selectOption("20");
  await page.locator("#bench").click();
  await page.waitForFunction(() => document.getElementById("bench-result").textContent.includes("of the copy kernel"), undefined, {
    timeout: PATIENCE,
  });
  console.log(await text(page, "bench-result"));
  assert.equal(await page.locator("#bench-rows tr").count(), 9);
  assert.equal(await page.locator("#bench-plot svg path").count(), 3);
  assert.deepEqual(complaints, []);
  await page.locator("#bench-plot").scrollIntoViewIfNeeded();
  await page.screenshot({ path: join(SCREENSHOTS, "wide.png"), fullPage: true });
  await close();
});

test("without WebGPU the playground runs on the CPU and the page says what to do", async () => {
  const hide = () => Object.defineProperty(Navigator.prototype, "gpu", { get: () => undefined });
  const { page, complaints, close } = await visit({}, hide);
  assert.match(await text(page, "adapter"), /No WebGPU; the CPU path computes instead\./);
  assert(await page.locator("#missing").isVisible());
  assert.match(await text(page, "playground-summary"), /drawn on the CPU; the backward mask is the same\./);
  const cpu = [await pixels(page, "y"), await pixels(page, "dx")];
  assert(await page.locator("#verify").isDisabled());
  assert.deepEqual(complaints, []);
  await close();

  const gpu = await visit();
  assert(!(await gpu.page.locator("#missing").isVisible()));
  assert.deepEqual([await pixels(gpu.page, "y"), await pixels(gpu.page, "dx")], cpu, "both paths paint the same pictures");
  await gpu.close();
});

test("a phone's width and the dark scheme", async () => {
  const { page, complaints, close } = await visit({ viewport: { width: 360, height: 740 }, colorScheme: "dark" });
  const [inner, scroll] = await page.evaluate(() => [window.innerWidth, document.documentElement.scrollWidth]);
  assert(scroll <= inner, `the page is ${scroll} wide in a window of ${inner}`);
  const dark = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  assert.equal(dark, "rgb(22, 24, 29)");
  await page.screenshot({ path: join(SCREENSHOTS, "narrow-dark.png"), fullPage: true });
  assert.deepEqual(complaints, []);
  await close();
});

for (const colorScheme of ["light", "dark"]) {
  test(`axe finds nothing that keeps anyone out, ${colorScheme}`, async () => {
    const { page, close } = await visit({ colorScheme });
    await page.locator("#missing").evaluate((element) => (element.hidden = false));
    await page.addScriptTag({ path: join(import.meta.dirname, "node_modules/axe-core/axe.min.js") });
    const { violations, passes } = await page.evaluate(() => window.axe.run());
    const said = violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(" ")}`);
    assert.deepEqual(said, []);
    assert(passes.length > 20, `${passes.length} rules`);
    await close();
  });
}

test("every control has a name, and every heading its level", async () => {
  const { page, close } = await visit();
  for (const role of ["slider", "textbox", "combobox", "radio", "button"]) {
    for (const control of await page.getByRole(role).all()) {
      const name = await control.evaluate((element) => element.labels?.[0]?.textContent?.trim() || element.textContent.trim());
      assert(name, `a ${role} without a name`);
    }
  }
  assert.equal(await page.getByRole("heading", { level: 1 }).count(), 1);
  assert.equal(await page.getByRole("heading", { level: 2 }).count(), 3);
  await close();
});

// WebGPU without a GPU, as root too, and nothing that calls home: as for the tests in Rust.
import { readFileSync } from "node:fs";

const webdriver = JSON.parse(readFileSync(new URL("../webdriver.json", import.meta.url)));
export const FLAGS = webdriver["goog:chromeOptions"].args.filter((flag) => flag !== "--headless");

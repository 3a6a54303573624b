// Numbers as a person reads them.
/** 12,345 in the reader's own way. */
export const count = (n) => n.toLocaleString();

/** Seconds as a person reads them. */
export const time = (seconds) =>
  seconds >= 1 ? `${seconds.toFixed(2)} s` : seconds >= 1e-3 ? `${(seconds * 1e3).toFixed(2)} ms` : `${(seconds * 1e6).toFixed(0)} µs`;

export const share = (part) => `${(100 * part).toFixed(0)} %`;

const raised = [..."⁰¹²³⁴⁵⁶⁷⁸⁹"];

/** 2²⁴ for 24. */
export const power = (log2) => `2${[...String(log2)].map((digit) => raised[digit]).join("")}`;

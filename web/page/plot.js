// A plot of lines as SVG, with its figures as text for screen readers.
const WIDTH = 640;
const HEIGHT = 300;
const EDGE = { left: 52, right: 60, top: 30, bottom: 36 };
// With dashes as well: colours alone do not reach everyone.
const STYLES = [
  { stroke: "var(--accent)", "stroke-dasharray": "none" },
  { stroke: "var(--second)", "stroke-dasharray": "7 4" },
  { stroke: "var(--third)", "stroke-dasharray": "2 4" },
];

function element(name, attributes, text) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) {
    made.setAttribute(key, value);
  }
  made.textContent = text ?? "";
  return made;
}

/** Lines of `[log2, share]` points, as an SVG element. */
export function plot(title, lines) {
  const points = lines.flatMap((line) => line.points);
  const [least, most] = [Math.min(...points.map(([x]) => x)), Math.max(...points.map(([x]) => x))];
  const top = Math.max(1, ...points.map(([, y]) => y)) * 1.05;
  const x = (log2) => EDGE.left + ((log2 - least) / Math.max(1, most - least)) * (WIDTH - EDGE.left - EDGE.right);
  const y = (share) => HEIGHT - EDGE.bottom - (share / top) * (HEIGHT - EDGE.top - EDGE.bottom);
  const said = lines.map(({ name, points }) => `${name}: ${points.map(([a, b]) => `2^${a} ${Math.round(100 * b)} %`).join(", ")}`);
  const svg = element("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": `${title}. ${said.join("; ")}` });
  svg.append(element("text", { x: EDGE.left, y: 16, "font-weight": 600 }, title));
  for (let share = 0; share <= top; share += 0.25) {
    svg.append(
      element("line", { x1: EDGE.left, x2: WIDTH - EDGE.right, y1: y(share), y2: y(share), stroke: "var(--line)" }),
      element("text", { x: EDGE.left - 8, y: y(share) + 4, "text-anchor": "end" }, `${Math.round(100 * share)} %`),
    );
  }
  for (let log2 = least; log2 <= most; log2 += 2) {
    svg.append(element("text", { x: x(log2), y: HEIGHT - 12, "text-anchor": "middle" }, `2^${log2}`));
  }
  let nextLabel = -Infinity;
  const ends = lines.map((line, n) => ({ ...line, style: STYLES[n], end: line.points.at(-1) })).filter((line) => line.end);
  for (const { name, points, style, end } of ends.sort((left, right) => y(left.end[1]) - y(right.end[1]))) {
    const path = points.map(([a, b], n) => `${n ? "L" : "M"}${x(a).toFixed(1)} ${y(b).toFixed(1)}`).join("");
    svg.append(element("path", { d: path, fill: "none", "stroke-width": 2.5, ...style }));
    svg.append(...points.map(([a, b]) => element("circle", { cx: x(a), cy: y(b), r: 3.5, fill: style.stroke })));
    // Labels one below the other where lines end together.
    nextLabel = Math.max(nextLabel + 15, y(end[1]) + 4);
    svg.append(element("text", { x: x(end[0]) + 9, y: nextLabel }, name));
  }
  return svg;
}

// The page's verify: the library's self-test and what it found.
import { count } from "./format.js";

const by = (id) => document.getElementById(id);

/** The button that runs the library's self-test. */
export function verification(gpu) {
  const [button, progress, result] = [by("verify"), by("verify-progress"), by("verify-result")];
  button.disabled = false;
  button.addEventListener("click", async () => {
    button.disabled = true;
    progress.hidden = false;
    progress.value = 0;
    result.className = "";
    result.textContent = "Comparing…";
    const start = performance.now();
    try {
      const found = await gpu.verify((done, total) => {
        progress.max = total;
        progress.value = done;
      });
      show(found, (performance.now() - start) / 1000);
    } catch (error) {
      result.className = "bad";
      result.textContent = `The verification could not run: ${error.message}`;
    }
    progress.hidden = true;
    button.disabled = false;
  });
}

function show(found, seconds) {
  const sum = (field) => found.operations.reduce((all, operation) => all + operation[field], 0);
  const wrong = found.operations.filter((operation) => operation.difference !== undefined);
  const result = by("verify-result");
  result.className = found.passed ? "good" : "bad";
  result.textContent = found.passed
    ? `Every bit agrees: ${found.operations.length} operations, ${count(sum("cases"))} cases, ` +
      `${count(sum("elements"))} elements in ${seconds.toFixed(1)} s (${found.kernels}).`
    : `${wrong.length} of ${found.operations.length} operations differ. First: ${wrong[0]?.operation}: ${wrong[0]?.difference}. ` +
      "Please report this line with the adapter's name.";
  by("verify-rows").replaceChildren(
    ...found.operations.map((operation) => {
      const row = document.createElement("tr");
      row.append(
        ...[operation.operation, count(operation.cases), count(operation.elements), operation.difference ?? "equal"].map(
          (text) => Object.assign(document.createElement("td"), { textContent: text }),
        ),
      );
      return row;
    }),
  );
  by("verify-details").hidden = false;
}

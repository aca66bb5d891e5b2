import path from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../..", import.meta.url));

/** A file of this repository. */
export function inRepository(...parts: string[]): string {
  return path.join(root, ...parts);
}

/** The Python that has ionbus: what IONBUS_PYTHON names, else that of the repository's own environment. */
export const python = process.env["IONBUS_PYTHON"] ?? inRepository(".venv", "bin", "python");

/** What starts the broker of `app/`. */
export const brokerCommand = {
  command: python,
  args: ["app.py"],
  cwd: inRepository("e2e", "app"),
};

/** Where page/ lies, ready to be loaded (support/build_page.ts). */
export const builtPage = inRepository("e2e", "page", "built");

/** The same of the page with React. */
export const builtReactPage = path.join(builtPage, "react");

/** The same of the application that traces. */
export const builtTracingApp = path.join(builtPage, "tracing");

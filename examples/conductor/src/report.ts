/** What a finished run has made. */
import { countOf, html } from "./dom.js";
import type { FlowResult } from "./generated/conductor.js";

export interface ReportView {
  show(result: FlowResult): void;
  clear(text: string): void;
}

/** @param reveal shows the report of a run in the system's file manager */
export function createReportView(root: HTMLElement, reveal: (executionId: string) => void): ReportView {
  return {
    show: (result) => {
      const open = html("button", { type: "button", id: "show-report" }, "Show file");
      open.addEventListener("click", () => reveal(result.execution_id));
      root.replaceChildren(
        html("div", { class: "title" }, html("h3", {}, result.title), open),
        html("p", { class: "path", title: result.report_path }, endOf(result.report_path)),
        html(
          "dl",
          { class: "figures" },
          figure("Files", String(result.files.length)),
          figure("Size", sizeOf(result.files.reduce((sum, file) => sum + file.size_bytes, 0))),
          figure("Kept", countOf(result.kept.length, "image")),
          figure("Twice", countOf(result.duplicates.length, "group")),
          figure("Text", countOf(result.word_count, "word")),
          figure("Took", `${(result.duration_ms / 1000).toFixed(1)} s`),
        ),
        html(
          "table",
          {},
          html("caption", { class: "unseen" }, "Every file with its SHA-256"),
          html(
            "tbody",
            {},
            ...result.files.map((file) =>
              html(
                "tr",
                {},
                html("th", { scope: "row" }, file.path),
                html("td", { class: "bytes" }, sizeOf(file.size_bytes)),
                html("td", {}, html("code", { title: file.sha256 }, file.sha256.slice(0, 10))),
              ),
            ),
          ),
        ),
      );
    },
    clear: (text) => root.replaceChildren(html("p", { class: "empty" }, text)),
  };
}

function figure(name: string, value: string): HTMLElement {
  return html("div", {}, html("dt", {}, name), html("dd", {}, value));
}

/** The last parts of a path, which tell more than the first. */
function endOf(path: string): string {
  const parts = path.split(/[\\/]/);
  return parts.length > 3 ? `…/${parts.slice(-3).join("/")}` : path;
}

function sizeOf(bytes: number): string {
  if (bytes < 1000) return `${bytes} B`;
  return bytes < 1e6 ? `${(bytes / 1e3).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

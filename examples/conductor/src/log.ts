/** The log's lines, the newest at the bottom. */
import { html } from "./dom.js";
import type { LogLine } from "./generated/conductor.js";

const KEPT_LINES = 500;

export interface Log {
  add(line: LogLine): void;
  /** A line of the window's own, between those of the broker. */
  note(text: string): void;
}

export function createLog(list: HTMLOListElement): Log {
  function append(item: HTMLLIElement): void {
    const follows = list.scrollHeight - list.scrollTop - list.clientHeight < 24;
    list.append(item);
    while (list.childElementCount > KEPT_LINES) list.firstElementChild?.remove();
    if (follows) list.scrollTop = list.scrollHeight;
  }

  return {
    add: ({ at, level, message, node_id }) =>
      append(
        html(
          "li",
          { "data-level": level },
          html("time", {}, timeOf(at.toDate())),
          html("span", { class: "from" }, node_id ?? "broker"),
          html("span", { class: "text" }, message),
        ),
      ),
    note: (text) =>
      append(
        html(
          "li",
          { "data-level": "window" },
          html("time", {}, timeOf(new Date())),
          html("span", { class: "from" }, "window"),
          html("span", { class: "text" }, text),
        ),
      ),
  };
}

function timeOf(at: Date): string {
  return at.toLocaleTimeString("en-GB");
}

/** The log's lines, the newest at the bottom: those of the broker, which it streams, and the window's own. */
import { useStream } from "ionbus/react";
import { useLayoutEffect, useRef } from "react";
import { Conductor } from "./generated/conductor.js";
import { textOf, timeOf } from "./words.js";

const KEPT_LINES = 500;

/** A line of the window's own. */
export interface Note {
  readonly at: Date;
  readonly text: string;
}

export function Log({ notes }: { notes: readonly Note[] }) {
  const options = { keep: KEPT_LINES, onLost: "again" } as const; // the next broker has a log of its own
  const { state, items, error } = useStream(Conductor.logs, { level: "info" }, options);
  const list = useRef<HTMLOListElement>(null);
  const follows = useRef(true);

  const lines = items.map(({ at, level, node_id, message }) => ({
    at: at.toDate(),
    level: level as string,
    from: node_id ?? "broker",
    text: message,
  }));
  lines.push(...notes.map(({ at, text }) => ({ at, level: "window", from: "window", text })));
  lines.sort((a, b) => a.at.getTime() - b.at.getTime());

  useLayoutEffect(() => {
    if (list.current !== null && follows.current) list.current.scrollTop = list.current.scrollHeight;
  });
  const watch = ({
    currentTarget: { scrollHeight, scrollTop, clientHeight },
  }: {
    currentTarget: HTMLElement;
  }) => {
    follows.current = scrollHeight - scrollTop - clientHeight < 24;
  };
  return (
    <ol ref={list} id="log" className="log" role="log" aria-labelledby="log-title" onScroll={watch}>
      {lines.map(({ at, level, from, text }, index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: lines have no other
        <li key={index} data-level={level}>
          <time>{timeOf(at)}</time>
          <span className="from">{from}</span>
          <span className="text">{text}</span>
        </li>
      ))}
      {state === "failed" && <li data-level="window">The log has ended: {textOf(error)}</li>}
    </ol>
  );
}

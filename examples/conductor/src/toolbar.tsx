/** What there is to press. */
import { useEffect, useEffectEvent } from "react";
import { BREAKAGES } from "./breakage.js";
import type { OpenedFlow } from "./generated/conductor.js";
import { countOf } from "./words.js";

export interface ToolbarProps {
  readonly title: string;
  readonly folder: OpenedFlow | undefined;
  readonly isSlow: boolean;
  readonly setSlow: (isSlow: boolean) => void;
  readonly breakage: string;
  readonly breakFlow: (id: string) => void;
  readonly canRun: boolean;
  readonly canChoose: boolean;
  readonly canCancel: boolean;
  readonly start: () => void;
  readonly cancel: () => void;
  readonly chooseFolder: () => void;
}

export function Toolbar(props: ToolbarProps) {
  const { title, folder, isSlow, setSlow, breakage, breakFlow, canRun, canChoose, canCancel } = props;
  const start = useEffectEvent(props.start);
  useEffect(() => {
    const press = (event: KeyboardEvent): void => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) start();
    };
    document.addEventListener("keydown", press);
    return () => document.removeEventListener("keydown", press);
  }, []);
  return (
    <header className="toolbar">
      <svg className="mark" viewBox="0 0 28 28" aria-hidden="true">
        <circle cx="6" cy="14" r="3.5" />
        <circle cx="22" cy="6.5" r="3.5" />
        <circle cx="22" cy="21.5" r="3.5" />
        <path d="M9.5 14C15 14 13 6.5 18.5 6.5M9.5 14C15 14 13 21.5 18.5 21.5" />
      </svg>
      <div className="heading">
        <h1 id="flow-name">{title}</h1>
        <p id="folder" className="folder" title={folder?.folder}>
          {folder === undefined ? "Opening…" : nameOf(folder)}
        </p>
      </div>
      <button
        id="choose-folder"
        type="button"
        className="quiet"
        disabled={!canChoose}
        onClick={props.chooseFolder}
      >
        Choose folder…
      </button>
      <span className="stretch" />
      <label className="option">
        <input
          id="slow"
          type="checkbox"
          checked={isSlow}
          onChange={(event) => setSlow(event.target.checked)}
        />
        Slow motion
      </label>
      <label className="option">
        Break the flow
        <select
          id="breakage"
          value={breakage}
          disabled={!canChoose}
          onChange={(event) => breakFlow(event.target.value)}
        >
          {BREAKAGES.map(({ id, name }) => (
            <option key={id} value={id}>
              {name}
            </option>
          ))}
        </select>
      </label>
      <button id="cancel" type="button" disabled={!canCancel} onClick={props.cancel}>
        Cancel
      </button>
      <button id="run" type="button" className="primary" disabled={!canRun} onClick={props.start}>
        Run
      </button>
    </header>
  );
}

function nameOf({ folder, file_count, is_sample }: OpenedFlow): string {
  const name = folder.split(/[\\/]/).pop() ?? folder;
  return `${name} · ${countOf(file_count, "file")}${is_sample ? " · sample" : ""}`;
}

/** The dialog behind the call that Python makes to this window. */
import { useHandler } from "ionbus/react";
import { type FormEvent, useLayoutEffect, useRef, useState } from "react";
import { type Answer, Conductor, type Question } from "./generated/conductor.js";
import type { Picture } from "./run.js";

interface Asked {
  readonly question: Question;
  readonly answer: (answer: Answer) => void;
}

export interface QuestionDialogProps {
  readonly pictures: readonly Picture[];
  /** What happens when the person would rather stop the run. */
  readonly giveUp: () => void;
}

export function QuestionDialog({ pictures, giveUp }: QuestionDialogProps) {
  const [asked, setAsked] = useState<Asked>();
  useHandler(
    Conductor.ask,
    (question, { signal }) =>
      new Promise<Answer>((resolve, reject) => {
        const done = (): void => setAsked(undefined);
        signal.addEventListener("abort", () => {
          done(); // nobody waits for the answer any more
          reject(signal.reason);
        });
        const answer = (given: Answer): void => {
          done();
          resolve(given);
        };
        setAsked({ question, answer });
      }),
  );
  return asked && <Form {...asked} pictures={pictures} giveUp={giveUp} />;
}

function Form({ question, answer, pictures, giveUp }: Asked & QuestionDialogProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [keep, setKeep] = useState<ReadonlySet<string>>(new Set(question.images));
  const [title, setTitle] = useState(question.suggested_title);
  useLayoutEffect(() => {
    const shown = dialog.current;
    shown?.showModal();
    return () => shown?.close();
  }, []);

  function submit(event: FormEvent): void {
    event.preventDefault();
    const kept = question.images.filter((file) => keep.has(file));
    answer({ keep: kept, title: title.trim() || question.suggested_title });
  }
  function toggle(file: string): void {
    const next = new Set(keep);
    if (!next.delete(file)) next.add(file);
    setKeep(next);
  }

  return (
    <dialog
      ref={dialog}
      id="question"
      className="question"
      aria-labelledby="question-prompt"
      onCancel={(event) => {
        event.preventDefault(); // Esc: the dialog closes when the run does
        giveUp();
      }}
    >
      <form onSubmit={submit}>
        <h2 id="question-prompt">{question.prompt}</h2>
        <div id="question-images" className="choices">
          {question.images.map((file) => (
            <label key={file} className="choice">
              <input type="checkbox" value={file} checked={keep.has(file)} onChange={() => toggle(file)} />
              <img src={pictures.find((picture) => picture.file === file)?.url} alt="" />
              <span>{file}</span>
            </label>
          ))}
        </div>
        <p id="question-count" className="detail" aria-live="polite">
          {keep.size} of {question.images.length} chosen
        </p>
        <label className="field">
          Title of the report
          <input
            id="question-title"
            type="text"
            required
            maxLength={120}
            autoComplete="off"
            value={title}
            onChange={(event) => setTitle(event.target.value)}
          />
        </label>
        <div className="actions">
          <button id="question-cancel" type="button" onClick={giveUp}>
            Cancel run
          </button>
          <button id="question-submit" type="submit" className="primary">
            Write report
          </button>
        </div>
      </form>
    </dialog>
  );
}

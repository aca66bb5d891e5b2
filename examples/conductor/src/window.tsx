/** The window: what is pressed becomes a call, and what Python tells becomes visible. */
import { SessionLost } from "ionbus";
import { PublishUi, useBus, useCall, useConnectionState, useStateChange } from "ionbus/react";
import { type ReactNode, useCallback, useEffect, useState } from "react";
import { Banner } from "./banner.js";
import { BREAKAGES } from "./breakage.js";
import type { CallBook } from "./calls.js";
import { Conductor, type OpenedFlow } from "./generated/conductor.js";
import { Graph } from "./graph.js";
import { Calls, DeadLetters, Events, Health } from "./inside.js";
import { Log, type Note } from "./log.js";
import { Pictures } from "./pictures.js";
import { QuestionDialog } from "./question.js";
import { Report } from "./report.js";
import { useRun } from "./run.js";
import { Status } from "./status.js";
import { Toolbar } from "./toolbar.js";
import { countOf, textOf } from "./words.js";

const SLOW_PACE_MS = 160;

export function Window({ book }: { book: CallBook }) {
  const bus = useBus();
  const state = useConnectionState();
  const isOpen = state === "open";
  const [notes, setNotes] = useState<readonly Note[]>([]);
  const note = (text: string): void => setNotes((notes) => [...notes, { at: new Date(), text }]);
  const [complaint, setComplaint] = useState("");
  const [isHidden, setHidden] = useState(false); // the banner, until there is something new to say
  const [isSlow, setSlow] = useState(true);
  const [isInside, setInside] = useState(false);
  const [breakage, setBreakage] = useState("none");
  const [opened, open] = useOpened(setComplaint);
  const run = useRun(note);
  const flow = opened && (BREAKAGES.find(({ id }) => id === breakage)?.spoil(opened.flow) ?? opened.flow);

  useEffect(() => {
    document.body.dataset["state"] = state;
  }, [state]);
  useStateChange(({ outcome }) => {
    if (outcome !== "lost") return;
    note("Python is back: a new process, a new session");
    open(opened?.is_sample === false ? opened.folder : null);
  });

  function start(): void {
    if (!isOpen || flow === undefined || opened === undefined || run.isGoing) return;
    setHidden(false);
    setComplaint("");
    run.start(flow, opened.folder, isSlow ? SLOW_PACE_MS : 0);
  }
  function breakFlow(id: string): void {
    setBreakage(id);
    setHidden(false);
    run.reset();
  }
  async function chooseFolder(): Promise<void> {
    try {
      const { folder } = await bus.call(Conductor.chooseFolder);
      if (folder === null) return;
      run.reset();
      open(folder);
    } catch (error) {
      setComplaint(textOf(error));
    }
  }
  async function kill(): Promise<void> {
    note("Killing Python");
    try {
      await bus.call(Conductor.debug.kill);
    } catch (error) {
      if (!(error instanceof SessionLost)) note(textOf(error)); // nobody is left to answer
    }
  }
  const reveal = (executionId: string): void => {
    bus
      .call(Conductor.showReport, { execution_id: executionId })
      .catch((error: unknown) => setComplaint(textOf(error)));
  };

  const problem = complaint === "" ? run.problem : { text: complaint, nodes: [] };
  const titleOf = (id: string): string => flow?.nodes.find((node) => node.id === id)?.title ?? id;
  return (
    <>
      <Toolbar
        title={opened?.flow.name ?? "Conductor"}
        folder={opened}
        isSlow={isSlow}
        setSlow={setSlow}
        breakage={breakage}
        breakFlow={breakFlow}
        canRun={isOpen && opened !== undefined && !run.isGoing}
        canChoose={isOpen && !run.isGoing}
        canCancel={run.isGoing}
        start={start}
        cancel={() => run.cancel("“Cancel” was pressed")}
        chooseFolder={() => void chooseFolder()}
      />
      <main>
        <PublishUi name="graph" className="canvas" role="region" aria-label="Flow">
          {problem && !isHidden && (
            <Banner
              text={problem.text}
              problems={problem.nodes}
              titleOf={titleOf}
              dismiss={() => setHidden(true)}
            />
          )}
          {flow && <Graph flow={flow} looks={run.looks} />}
        </PublishUi>
        <div className="panes" hidden={isInside}>
          <Pane name="pictures" title="Images" count={countOfPictures(run.pictures.length)}>
            <Pictures pictures={run.pictures} kept={run.result?.kept} />
          </Pane>
          <Pane name="log" title="Log">
            <Log notes={notes} />
          </Pane>
          <Pane name="report" title="Report">
            <div id="report" className="report" aria-live="polite">
              {run.result ? (
                <Report result={run.result} reveal={reveal} />
              ) : (
                <p className="empty">{hintOf(run.isGoing, run.outcome)}</p>
              )}
            </div>
          </Pane>
        </div>
        <div id="page-inside" className="panes" hidden={!isInside}>
          <Pane name="events" title="Events">
            <Events />
          </Pane>
          <Pane name="calls" title="Calls">
            <Calls book={book} />
          </Pane>
          <Pane name="letters" title="Dead letters">
            <DeadLetters note={note} />
          </Pane>
          <Pane name="health" title="Health">
            <Health note={note} />
          </Pane>
        </div>
      </main>
      <Status>
        <span id="outcome" className="detail" role="status">
          {run.outcome}
        </span>
        <button id="inside" type="button" aria-pressed={isInside} onClick={() => setInside(!isInside)}>
          Look inside
        </button>
        <button id="kill" type="button" className="danger" disabled={!isOpen} onClick={() => void kill()}>
          Kill Python
        </button>
      </Status>
      <QuestionDialog
        pictures={run.pictures}
        giveUp={() => run.cancel("“Cancel run” was pressed in the dialog")}
      />
    </>
  );
}

/** A pane, whose life Python is told; when what is in it breaks, the others stay. */
function Pane({
  name,
  title,
  count,
  children,
}: {
  name: string;
  title: string;
  count?: string;
  children: ReactNode;
}) {
  return (
    <PublishUi name={name} className="pane" role="region" fallback={<p className="empty">This is broken.</p>}>
      <h2 id={`${name}-title`}>
        {title}{" "}
        {count !== undefined && (
          <span id={`${name}-count`} className="count">
            {count}
          </span>
        )}
      </h2>
      {children}
    </PublishUi>
  );
}

/** The flow that was opened last, and what opens another folder; the sample's at first. */
function useOpened(
  complain: (text: string) => void,
): [OpenedFlow | undefined, (folder: string | null) => void] {
  const [opened, setOpened] = useState<OpenedFlow>();
  const { call } = useCall(Conductor.openFlow);
  const open = useCallback(
    (folder: string | null): void => {
      complain("");
      call({ folder }).then(setOpened, (error: unknown) => {
        if (!(error instanceof Error && "code" in error && error.code === "call_cancelled"))
          complain(textOf(error));
      });
    },
    [call, complain],
  );
  useEffect(() => open(null), [open]);
  return [opened, open];
}

function countOfPictures(count: number): string {
  return count === 0 ? "" : countOf(count, "image");
}

function hintOf(isGoing: boolean, outcome: string): string {
  if (isGoing) return "The report comes at the end of the run.";
  return outcome === "" ? "Run the flow to get a report." : "No report: the run did not reach its end.";
}

/** The strip above the graph that says what went wrong. */
import type { FlowProblem } from "./generated/conductor.js";
import { focusNode } from "./graph.js";

export interface BannerProps {
  readonly text: string;
  /** Each names its node, which can be pressed to get there. */
  readonly problems: readonly FlowProblem[];
  readonly titleOf: (nodeId: string) => string;
  readonly dismiss: () => void;
}

export function Banner({ text, problems, titleOf, dismiss }: BannerProps) {
  return (
    <div id="banner" className="banner" role="alert">
      <p>{text}</p>
      {problems.length > 0 && (
        <ul>
          {problems.map(({ node_id, message }) => (
            <li key={`${node_id} ${message}`}>
              {node_id !== null && (
                <>
                  <button type="button" className="link" onClick={() => focusNode(node_id)}>
                    {titleOf(node_id)}
                  </button>{" "}
                </>
              )}
              {message}
            </li>
          ))}
        </ul>
      )}
      <button type="button" className="dismiss" aria-label="Dismiss" onClick={dismiss}>
        ✕
      </button>
    </div>
  );
}

/** What a finished run has made. */
import type { FlowResult } from "./generated/conductor.js";
import { countOf, secondsOf, sizeOf } from "./words.js";

/** @param reveal shows the report of a run in the system's file manager */
export function Report({ result, reveal }: { result: FlowResult; reveal: (executionId: string) => void }) {
  const figures = {
    Files: String(result.files.length),
    Size: sizeOf(result.files.reduce((sum, file) => sum + file.size_bytes, 0)),
    Kept: countOf(result.kept.length, "image"),
    Twice: countOf(result.duplicates.length, "group"),
    Text: countOf(result.word_count, "word"),
    Took: secondsOf(result.duration_ms),
  };
  return (
    <>
      <div className="title">
        <h3>{result.title}</h3>
        <button type="button" id="show-report" onClick={() => reveal(result.execution_id)}>
          Show file
        </button>
      </div>
      <p className="path" title={result.report_path}>
        {endOf(result.report_path)}
      </p>
      <dl className="figures">
        {Object.entries(figures).map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
      <table>
        <caption className="unseen">Every file with its SHA-256</caption>
        <tbody>
          {result.files.map((file) => (
            <tr key={file.path}>
              <th scope="row">{file.path}</th>
              <td className="bytes">{sizeOf(file.size_bytes)}</td>
              <td>
                <code title={file.sha256}>{file.sha256.slice(0, 10)}</code>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </>
  );
}

/** The last parts of a path, which tell more than the first. */
function endOf(path: string): string {
  const parts = path.split(/[\\/]/);
  return parts.length > 3 ? `…/${parts.slice(-3).join("/")}` : path;
}

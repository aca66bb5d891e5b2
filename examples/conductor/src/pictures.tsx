/** The thumbnails of a run. */
import type { Picture } from "./run.js";

export function Pictures({
  pictures,
  kept,
}: {
  pictures: readonly Picture[];
  kept: readonly string[] | undefined;
}) {
  return (
    <ul id="pictures" className="pictures" aria-labelledby="pictures-title">
      {pictures.length === 0 && <li className="empty">Thumbnails appear here as Python makes them.</li>}
      {pictures.map(({ file, size, url }) => (
        <li
          key={file}
          className={kept === undefined || kept.includes(file) ? "picture" : "picture left-out"}
          title={`${file}, ${size}`}
        >
          <img src={url} alt={file} />
          <span className="file">{file}</span>
          <span className="size">{size}</span>
        </li>
      ))}
    </ul>
  );
}

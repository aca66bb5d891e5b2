/** The thumbnails of a run: bytes from Python, shown as blobs. */
import { countOf, html } from "./dom.js";
import type { Thumbnail } from "./generated/conductor.js";

export interface Pictures {
  add(thumbnail: Thumbnail): void;
  /** The URL of a file's thumbnail, until the next `clear`. */
  urlOf(file: string): string | undefined;
  /** Mark the files that were kept. */
  keep(files: readonly string[]): void;
  clear(): void;
}

export function createPictures(list: HTMLUListElement, count: HTMLElement): Pictures {
  const shown = new Map<string, { url: string; item: HTMLLIElement }>();
  const empty = html("li", { class: "empty" }, "Thumbnails appear here as Python makes them.");

  function clear(): void {
    for (const { url } of shown.values()) URL.revokeObjectURL(url);
    shown.clear();
    count.textContent = "";
    list.replaceChildren(empty);
  }

  clear();
  return {
    add: ({ file, width, height, jpeg }) => {
      if (shown.has(file)) return;
      const url = URL.createObjectURL(new Blob([jpeg.slice()], { type: "image/jpeg" }));
      const size = `${width} × ${height}`;
      const item = html(
        "li",
        { class: "picture", title: `${file}, ${size}` },
        html("img", { src: url, alt: file }),
        html("span", { class: "file" }, file),
        html("span", { class: "size" }, size),
      );
      if (shown.size === 0) list.replaceChildren();
      shown.set(file, { url, item });
      list.append(item);
      count.textContent = countOf(shown.size, "image");
    },
    urlOf: (file) => shown.get(file)?.url,
    keep: (files) => {
      const kept = new Set(files);
      for (const [file, { item }] of shown) item.classList.toggle("left-out", !kept.has(file));
    },
    clear,
  };
}

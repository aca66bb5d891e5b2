/** A drawing of 20 by 20 for each kind of node, as the path of a line. */
const PATHS: Readonly<Record<string, string>> = {
  "files.list":
    "M2.5 5.5v9a1.5 1.5 0 0 0 1.5 1.5h12a1.5 1.5 0 0 0 1.5-1.5V8A1.5 1.5 0 0 0 16 6.5H10L8 4H4a1.5 1.5 0 0 0-1.5 1.5",
  "files.hash": "M8 3.5 6.5 16.5M13.5 3.5 12 16.5M3.5 7.5h13.5M3 12.5h13.5",
  "files.duplicates": "M7 7h9.5v9.5H7zM13 7V3.5H3.5V13H7",
  "text.count": "M3.5 5h13M3.5 10h13M3.5 15h8",
  "images.thumbnails": "M3 4h14v12H3zM3 13.5l4-4 3.5 3.5 2.5-2.5 4 4M13 7.4v.1",
  "images.choose": "M3.5 4h13v12h-13zM6.8 10l2.3 2.4 4.3-4.9",
  "report.write": "M5 2.5h7l3.5 3.5v11.5H5zM12 2.5V6h3.5M7.5 10h5.5M7.5 13.5h5.5",
};

const UNKNOWN = "M7 7.5a3 3 0 1 1 4.2 2.7C10.3 10.6 10 11.2 10 12.2M10 15.4v.1";

/** The path for a kind; a question mark for one that has none. */
export function iconPath(kind: string): string {
  return PATHS[kind] ?? UNKNOWN;
}

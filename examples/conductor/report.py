"""The report as one HTML file, with its pictures inside it. No I/O."""

from base64 import b64encode
from dataclasses import dataclass
from html import escape

from contracts import HashedFile


@dataclass(frozen=True)
class Picture:
    """A thumbnail, and the size of the image that it was made from."""

    file: str
    width: int
    height: int
    jpeg: bytes


@dataclass(frozen=True)
class Content:
    """What the report tells."""

    title: str
    folder: str
    files: list[HashedFile]
    duplicates: list[list[str]]
    word_count: int
    pictures: list[Picture]


STYLE = """
:root { color-scheme: light dark; --line: #d9dee6; --muted: #667080; }
@media (prefers-color-scheme: dark) { :root { --line: #343a44; --muted: #97a1b0; } }
body { font: 15px/1.55 system-ui, sans-serif; max-width: 56rem; margin: 3rem auto; padding: 0 1.5rem; }
h1 { font-size: 1.7rem; margin: 0; }
h2 { font-size: 1.05rem; margin: 2.2rem 0 .6rem; }
p.folder, figcaption { color: var(--muted); font-size: .85rem; }
.pictures { display: grid; grid-template-columns: repeat(auto-fill, minmax(12rem, 1fr)); gap: 1rem; }
figure { margin: 0; }
img { width: 100%; aspect-ratio: 4 / 3; object-fit: cover; border-radius: 6px; display: block; }
table { border-collapse: collapse; width: 100%; font-size: .85rem; }
td, th { text-align: left; padding: .35rem .75rem .35rem 0; border-bottom: 1px solid var(--line); }
td.size, th.size { text-align: right; }
code { font: .8rem ui-monospace, monospace; color: var(--muted); word-break: break-all; }
"""


def as_html(content: Content) -> str:
    """The whole document. Everything that came from outside is escaped."""
    pictures = "".join(
        f'<figure><img alt="" src="data:image/jpeg;base64,{b64encode(picture.jpeg).decode("ascii")}">'
        f"<figcaption>{escape(picture.file)} · {picture.width} by {picture.height}</figcaption></figure>\n"
        for picture in content.pictures
    )
    rows = "".join(
        f'<tr><td>{escape(file.path)}</td><td class="size">{file.size_bytes:,}</td>'
        f"<td><code>{file.sha256}</code></td></tr>\n"
        for file in content.files
    )
    groups = "".join(f"<li>{escape(', '.join(group))}</li>\n" for group in content.duplicates)
    return f"""<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>{escape(content.title)}</title><style>{STYLE}</style></head>
<body>
<h1>{escape(content.title)}</h1>
<p class="folder">{escape(content.folder)}</p>
<h2>Images</h2>
<div class="pictures">
{pictures or "<p>None were kept.</p>"}
</div>
<h2>Same bytes</h2>
{f"<ul>{groups}</ul>" if groups else "<p>No two files are the same.</p>"}
<h2>Text</h2>
<p>{content.word_count:,} words.</p>
<h2>Files</h2>
<table>
<tr><th>File</th><th class="size">Bytes</th><th>SHA-256</th></tr>
{rows}</table>
</body>
</html>
"""

"""What each kind of node does, over real files. Nothing here knows ionbus: a `Step` is all that a node sees."""

import asyncio
import hashlib
import io
import re
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any, Protocol

from PIL import Image, ImageOps

import report
from contracts import Answer, HashedFile
from ionbus.packs.workflow import LogLevel

MAX_FILES = 2_000
THUMBNAIL_SIZE = (320, 240)
IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"})
TEXT_SUFFIXES = frozenset({".txt", ".md", ".rst", ".csv", ".json", ".html", ".log", ".py", ".ts"})


class Step(Protocol):
    """One node's view of the run that it is part of."""

    folder: Path
    output: Path
    stop: Event
    """Set when the run was cancelled: a thread looks at it, since nobody can interrupt a thread."""

    async def progress(self, done: int, total: int, message: str) -> None:
        """Tell how far this node has come, and take the run's pause after a file."""

    async def log(self, message: str, level: LogLevel = LogLevel.INFO) -> None:
        """Write a line to the log."""

    async def thumbnail(self, made: "Thumb") -> None:
        """Show a thumbnail."""

    async def ask(self, prompt: str, images: list[str], suggested_title: str) -> Answer:
        """Ask the person at the window, for as long as it takes."""


class StepFailed(Exception):
    """A node cannot go on; the message is for the person at the window."""


@dataclass(frozen=True)
class Thumb:
    """A thumbnail of one image, and the image's own size in pixels."""

    file: str
    width: int
    height: int
    jpeg: bytes


@dataclass(frozen=True)
class Choice:
    """The images that were kept, and the report's title."""

    title: str
    kept: list[Thumb]


@dataclass(frozen=True)
class Written:
    """The report, and what is in it."""

    path: Path
    content: report.Content


async def list_folder(step: Step, _: Mapping[str, Any]) -> list[Path]:
    """Every file below the folder, by its path relative to it; hidden ones are left out."""
    files = await asyncio.to_thread(find_files, step.folder)
    if not files:
        raise StepFailed(f"There are no files in {step.folder}.")
    if len(files) > MAX_FILES:
        await step.log(f"Only the first {MAX_FILES:,} of {len(files):,} files are taken", LogLevel.WARNING)
        files = files[:MAX_FILES]
    await step.log(f"Found {count_of(len(files), 'file')} in {step.folder.name}")
    await step.progress(1, 1, count_of(len(files), "file"))
    return files


async def hash_files(step: Step, inputs: Mapping[str, Any]) -> list[HashedFile]:
    """The SHA-256 of each file."""
    files: list[Path] = inputs["files"]
    hashed: list[HashedFile] = []
    for done, file in enumerate(files, start=1):
        one = await asyncio.to_thread(hash_file, step.folder, file, step.stop)
        if one is None:
            await step.log(f"{file.as_posix()} cannot be read, left out", LogLevel.WARNING)
        else:
            hashed.append(one)
            await step.log(f"{one.sha256[:10]} {one.path}, {size_of(one.size_bytes)}")
        await step.progress(done, len(files), f"{done} of {count_of(len(files), 'file')}")
    return hashed


async def find_duplicates(step: Step, inputs: Mapping[str, Any]) -> list[list[str]]:
    """The files that have the same bytes, in groups of two and more."""
    hashes: list[HashedFile] = inputs["hashes"]
    groups = group_duplicates(hashes)
    for group in groups:
        await step.log(f"Same bytes: {', '.join(group)}", LogLevel.WARNING)
    await step.progress(1, 1, count_of(len(groups), "group") if groups else "None")
    return groups


async def count_words(step: Step, inputs: Mapping[str, Any]) -> int:
    """The words of all text files together."""
    texts = [file for file in inputs["files"] if file.suffix.lower() in TEXT_SUFFIXES]
    words = 0
    for done, file in enumerate(texts, start=1):
        found = await asyncio.to_thread(words_in, step.folder / file, step.stop)
        await step.log(f"{found:,} words in {file.as_posix()}")
        words += found
        await step.progress(done, len(texts), count_of(words, "word"))
    if not texts:
        await step.progress(1, 1, "No text files")
    return words


async def make_thumbnails(step: Step, inputs: Mapping[str, Any]) -> list[Thumb]:
    """A thumbnail of each image; what cannot be read as one is named in the log and left out."""
    images = [file for file in inputs["files"] if file.suffix.lower() in IMAGE_SUFFIXES]
    made: list[Thumb] = []
    for done, file in enumerate(images, start=1):
        thumb = await asyncio.to_thread(make_thumbnail, step.folder, file)
        if thumb is None:
            await step.log(f"{file.as_posix()} is not a readable image, left out", LogLevel.WARNING)
        else:
            made.append(thumb)
            await step.thumbnail(thumb)
        await step.progress(done, len(images), f"{done} of {count_of(len(images), 'image')}")
    if not images:
        await step.progress(1, 1, "No images")
    return made


async def choose_images(step: Step, inputs: Mapping[str, Any]) -> Choice:
    """Ask which images to keep, and for a title."""
    images: list[Thumb] = inputs["images"]
    suggested = step.folder.name.replace("-", " ").replace("_", " ").strip().capitalize() or "Report"
    answer = await step.ask("Which images go into the report?", [image.file for image in images], suggested)
    kept = [image for image in images if image.file in set(answer.keep)]
    await step.log(f"“{answer.title}” with {len(kept)} of {count_of(len(images), 'image')}")
    await step.progress(1, 1, f"{len(kept)} of {len(images)} kept")
    return Choice(title=answer.title, kept=kept)


async def write_report(step: Step, inputs: Mapping[str, Any]) -> Written:
    """One HTML file with the kept images in it."""
    choice: Choice = inputs["choice"]
    content = report.Content(
        title=choice.title,
        folder=str(step.folder),
        files=inputs["hashes"],
        duplicates=inputs["duplicates"],
        word_count=inputs["words"],
        pictures=[report.Picture(thumb.file, thumb.width, thumb.height, thumb.jpeg) for thumb in choice.kept],
    )
    path = step.output / "report.html"
    await asyncio.to_thread(write_file, path, report.as_html(content))
    await step.log(f"Wrote {path.name}")
    await step.progress(1, 1, path.name)
    return Written(path=path, content=content)


# What flows along an edge is known only when the flow is: flow.py checks that the types meet, hence Any here.
NodeFunction = Callable[[Step, Mapping[str, Any]], Awaitable[Any]]

NODE_FUNCTIONS: Mapping[str, NodeFunction] = {
    "files.list": list_folder,
    "files.hash": hash_files,
    "files.duplicates": find_duplicates,
    "text.count": count_words,
    "images.thumbnails": make_thumbnails,
    "images.choose": choose_images,
    "report.write": write_report,
}


# --- The work on one file, which blocks ---------------------------------------------------------------


def find_files(folder: Path) -> list[Path]:
    """Every regular file below `folder`, relative to it, sorted: not hidden ones, and none whose name is not text."""
    found: list[Path] = []
    for path in folder.rglob("*"):
        relative = path.relative_to(folder)
        if (
            any(part.startswith(".") for part in relative.parts)
            or not is_text(str(relative))
            or not path.is_file()
        ):
            continue
        if len(found) == 10 * MAX_FILES:
            raise StepFailed(f"{folder} has more than {10 * MAX_FILES:,} files.")
        found.append(relative)
    return sorted(found)


def is_text(name: str) -> bool:
    """Whether a file's name is Unicode text; on POSIX it may be any bytes, which no message can carry."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def hash_file(folder: Path, file: Path, stop: Event) -> HashedFile | None:
    """Read one file from start to end; None: it cannot be read, or the run was cancelled meanwhile."""
    digest = hashlib.sha256()
    size = 0
    try:
        with (folder / file).open("rb") as opened:
            while block := opened.read(1 << 20):
                if stop.is_set():
                    return None
                digest.update(block)
                size += len(block)
    except OSError:
        return None
    return HashedFile(path=file.as_posix(), size_bytes=size, sha256=digest.hexdigest())


def group_duplicates(hashes: Iterable[HashedFile]) -> list[list[str]]:
    """The paths that share a hash, in groups, each sorted."""
    by_hash: defaultdict[str, list[str]] = defaultdict(list)
    for file in hashes:
        by_hash[file.sha256].append(file.path)
    return sorted(sorted(paths) for paths in by_hash.values() if len(paths) > 1)


def words_in(path: Path, stop: Event) -> int:
    """How many words a text file has; 0 where it cannot be read."""
    words = 0
    try:
        with path.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                if stop.is_set():
                    break
                words += len(re.findall(r"\w+", line))
    except OSError:
        return 0
    return words


def make_thumbnail(folder: Path, file: Path) -> Thumb | None:
    """A JPEG that fits `THUMBNAIL_SIZE`; None: not an image that Pillow can read in full."""
    try:
        with Image.open(folder / file) as image:
            width, height = image.size
            image.draft("RGB", (THUMBNAIL_SIZE[0] * 2, THUMBNAIL_SIZE[1] * 2))
            small = on_white(ImageOps.exif_transpose(image))
            small.thumbnail(THUMBNAIL_SIZE)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    jpeg = io.BytesIO()
    small.save(jpeg, "JPEG", quality=82)
    return Thumb(file=file.as_posix(), width=width, height=height, jpeg=jpeg.getvalue())


def on_white(image: Image.Image) -> Image.Image:
    """The image in plain RGB, with white behind whatever can be seen through."""
    if not image.has_transparency_data:
        return image.convert("RGB")
    ground = Image.new("RGBA", image.size, "white")
    ground.alpha_composite(image.convert("RGBA"))
    return ground.convert("RGB")


def write_file(path: Path, text: str) -> None:
    """Write a text file, with the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def count_of(count: int, thing: str) -> str:
    """A number with its noun: "1 file", "12 files"."""
    return f"{count:,} {thing}" if count == 1 else f"{count:,} {thing}s"


def size_of(size_bytes: int) -> str:
    """A size as people read it: "640 B", "12.3 kB", "4.5 MB"."""
    size = float(size_bytes)
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"

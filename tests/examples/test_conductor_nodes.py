import asyncio
import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

import pytest
from PIL import Image

from contracts import (
    Answer,
    ExecuteFlow,
    FlowInvalid,
    FlowResult,
    HashedFile,
    NodeFailed,
    Question,
)
from flow import sample_flow
from ionbus.packs.workflow import LogLevel, NodeOutput, NodeProgress, NodeState
from logbook import LogBook
from make_photos import NOTES, SCENES, make_photos
from nodes import (
    StepFailed,
    count_of,
    find_files,
    group_duplicates,
    hash_file,
    make_thumbnail,
    size_of,
    words_in,
)
from report import Content, Picture, as_html
from run import run_flow

GOING_ON = Event()


@dataclass
class Person:
    """Stands in for the window: remembers what it was told, and keeps the first image when asked."""

    told: list[NodeProgress] = field(default_factory=list)
    thumbnails: list[NodeOutput] = field(default_factory=list)
    questions: list[Question] = field(default_factory=list)
    answers: bool = True

    async def emit(self, _: object, payload: object) -> None:
        if isinstance(payload, NodeProgress):
            self.told.append(payload)
        elif isinstance(payload, NodeOutput):
            self.thumbnails.append(payload)

    async def ask(self, question: Question) -> Answer:
        self.questions.append(question)
        if not self.answers:
            await asyncio.Event().wait()
        return Answer(keep=question.images[:1], title="A day out")

    def last(self) -> dict[str, NodeState]:
        """How it ended for each node."""
        return {progress.node_id: progress.state for progress in self.told}


def request(folder: Path) -> ExecuteFlow:
    return ExecuteFlow(execution_id="exec_1", flow=sample_flow(), folder=str(folder))


def page_of(result: FlowResult) -> str:
    return Path(result.report_path).read_text(encoding="utf-8")


# --- A run ------------------------------------------------------------------------------------------


async def test_a_run_makes_a_report(folder: Path, tmp_path: Path) -> None:
    person, book = Person(), LogBook()
    result = await run_flow(request(folder), tmp_path / "out", person.emit, person, book)

    assert set(person.last().values()) == {NodeState.FINISHED}
    assert [thumbnail.name for thumbnail in person.thumbnails] == ["a.jpg", "b.png"]
    assert person.questions[0].images == ["a.jpg", "b.png"]
    assert person.questions[0].suggested_title == "My trip"
    assert [file.path for file in result.files] == [
        "a.jpg",
        "b.png",
        "notes/again.txt",
        "notes/one.txt",
        "notes/two.md",
    ]
    assert result.duplicates == [["notes/again.txt", "notes/one.txt"]]
    assert result.kept == ["a.jpg"]
    assert result.word_count == 3 + 3 + 4
    assert result.title == "A day out"

    page = page_of(result)
    assert "<h1>A day out</h1>" in page
    assert page.count("data:image/jpeg;base64,") == 1
    assert all(file.sha256 in page for file in result.files)


async def test_each_node_is_told_from_pending_over_running_to_finished(folder: Path, tmp_path: Path) -> None:
    person = Person()
    await run_flow(request(folder), tmp_path / "out", person.emit, person, LogBook())
    states = [progress.state for progress in person.told if progress.node_id == "choose"]
    assert list(dict.fromkeys(states)) == [
        NodeState.PENDING,
        NodeState.RUNNING,
        NodeState.WAITING,
        NodeState.FINISHED,
    ]
    percents = [progress.percent for progress in person.told if progress.node_id == "hash"]
    assert percents == sorted(percents)
    assert percents[-1] == 100


async def test_a_folder_without_images_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "only.bin").write_bytes(b"\x00")
    person = Person()
    result = await run_flow(request(tmp_path), tmp_path / "out", person.emit, person, LogBook())
    assert (result.kept, result.word_count) == ([], 0)
    assert "None were kept." in page_of(result)


async def test_an_invalid_flow_starts_nothing(folder: Path, tmp_path: Path) -> None:
    flow = sample_flow()
    flow.edges.pop(0)
    person = Person()
    with pytest.raises(FlowInvalid):
        await run_flow(
            ExecuteFlow(execution_id="e", flow=flow, folder=str(folder)),
            tmp_path / "out",
            person.emit,
            person,
            LogBook(),
        )
    assert person.told == []


async def test_a_failing_node_is_named_and_the_rest_is_cancelled(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    person = Person()
    with pytest.raises(NodeFailed, match="no files") as raised:
        await run_flow(request(empty), tmp_path / "out", person.emit, person, LogBook())
    assert raised.value.node_id == "list"
    last = person.last()
    assert last.pop("list") is NodeState.FAILED
    assert set(last.values()) == {NodeState.CANCELLED}


async def test_a_report_that_cannot_be_written_fails_its_node(folder: Path, tmp_path: Path) -> None:
    in_the_way = tmp_path / "out"
    in_the_way.write_text("a file where the folder should be")
    person = Person()
    with pytest.raises(NodeFailed) as raised:
        await run_flow(request(folder), in_the_way, person.emit, person, LogBook())
    assert raised.value.node_id == "report"
    assert person.last()["hash"] is NodeState.FINISHED


async def test_a_cancelled_run_tells_the_nodes_that_are_not_done(folder: Path, tmp_path: Path) -> None:
    asked = asyncio.Event()

    class Silent(Person):
        async def ask(self, question: Question) -> Answer:
            asked.set()
            return await super().ask(question)

    person = Silent(answers=False)
    run = asyncio.create_task(run_flow(request(folder), tmp_path / "out", person.emit, person, LogBook()))
    await asked.wait()
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    last = person.last()
    assert (last["list"], last["thumbs"]) == (NodeState.FINISHED, NodeState.FINISHED)
    assert (last["choose"], last["report"]) == (NodeState.CANCELLED, NodeState.CANCELLED)
    assert not (tmp_path / "out").exists()


# --- Files ------------------------------------------------------------------------------------------


def test_files_are_found_in_order_without_hidden_ones(tmp_path: Path) -> None:
    for name in ("b.txt", "a.txt", ".hidden", "sub/c.txt", ".git/config"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert find_files(tmp_path) == [Path("a.txt"), Path("b.txt"), Path("sub/c.txt")]


def test_a_name_that_is_not_text_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "fine.txt").touch()
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.txt")).touch()
    assert find_files(tmp_path) == [Path("fine.txt")]


def test_too_many_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nodes.MAX_FILES", 1)
    for number in range(11):
        (tmp_path / f"{number}.txt").touch()
    with pytest.raises(StepFailed, match="more than 10 files"):
        find_files(tmp_path)


@pytest.mark.parametrize("content", [b"", b"abc", bytes(3 << 20)], ids=["empty", "short", "3 MiB"])
def test_hashes_are_sha256(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "f").write_bytes(content)
    assert hash_file(tmp_path, Path("f"), GOING_ON) == HashedFile(
        path="f", size_bytes=len(content), sha256=hashlib.sha256(content).hexdigest()
    )


def test_what_cannot_be_read_has_no_hash(tmp_path: Path) -> None:
    assert hash_file(tmp_path, Path("gone"), GOING_ON) is None


def test_hashing_stops_with_the_run(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"abc")
    stop = Event()
    stop.set()
    assert hash_file(tmp_path, Path("f"), stop) is None


@pytest.mark.parametrize(
    ("hashes", "groups"),
    [
        ("", []),
        ("abc", []),
        ("aba", [["0", "2"]]),
        ("abbaa", [["0", "3", "4"], ["1", "2"]]),
    ],
)
def test_same_bytes_are_grouped(hashes: str, groups: list[list[str]]) -> None:
    files = [HashedFile(path=str(place), size_bytes=1, sha256=name) for place, name in enumerate(hashes)]
    assert group_duplicates(files) == groups


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", 0),
        (b"one", 1),
        (b"one two\nthree", 3),
        ("été à 日本".encode(), 3),
        (b"\xff\xfe not text", 2),
    ],
)
def test_words_are_counted(tmp_path: Path, text: bytes, words: int) -> None:
    (tmp_path / "f").write_bytes(text)
    assert words_in(tmp_path / "f", GOING_ON) == words


def test_no_words_where_there_is_no_file(tmp_path: Path) -> None:
    assert words_in(tmp_path / "gone", GOING_ON) == 0


# --- Images -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "mode", "size"),
    [
        ("a.jpg", "RGB", (4000, 3000)),
        ("a.jpg", "L", (100, 2000)),
        ("a.jpg", "CMYK", (640, 480)),
        ("a.png", "RGBA", (640, 480)),
        ("a.png", "LA", (640, 480)),
        ("a.png", "I;16", (640, 480)),
        ("a.gif", "P", (640, 480)),
        ("a.webp", "RGB", (3, 3)),
        ("a.tif", "1", (640, 480)),
    ],
)
def test_a_thumbnail_of_every_sort_of_image(
    tmp_path: Path, image: Callable[..., Path], name: str, mode: str, size: tuple[int, int]
) -> None:
    thumb = make_thumbnail(tmp_path, image(name, mode, size))
    assert thumb is not None
    assert (thumb.file, thumb.width, thumb.height) == (name, *size)
    (tmp_path / "thumb.jpg").write_bytes(thumb.jpeg)
    with Image.open(tmp_path / "thumb.jpg") as made:
        assert (made.format, made.mode) == ("JPEG", "RGB")
        assert made.width <= 320
        assert made.height <= 240
        assert made.width / made.height == pytest.approx(size[0] / size[1], rel=0.1)


def test_what_can_be_seen_through_becomes_white(tmp_path: Path, image: Callable[..., Path]) -> None:
    thumb = make_thumbnail(tmp_path, image("clear.png", "RGBA", (20, 20)))
    assert thumb is not None
    (tmp_path / "thumb.jpg").write_bytes(thumb.jpeg)
    with Image.open(tmp_path / "thumb.jpg") as made:
        assert made.getpixel((10, 10)) == (255, 255, 255)


@pytest.mark.parametrize("kept_bytes", [0, 20, 400], ids=["empty", "header", "cut short"])
def test_what_is_no_image_has_no_thumbnail(
    tmp_path: Path, image: Callable[..., Path], kept_bytes: int
) -> None:
    path = image("a.jpg")
    (tmp_path / path).write_bytes((tmp_path / path).read_bytes()[:kept_bytes])
    assert make_thumbnail(tmp_path, path) is None


def test_the_sample_photos_are_all_there(tmp_path: Path) -> None:
    files = make_photos(tmp_path)
    assert len(files) == len(SCENES) + len(NOTES) + 2
    assert [file.relative_to(tmp_path) for file in files] == find_files(tmp_path)
    thumbs = [make_thumbnail(tmp_path, Path(scene.file)) for scene in SCENES]
    assert [(thumb.width, thumb.height) for thumb in thumbs if thumb] == [scene.size for scene in SCENES]
    assert make_thumbnail(tmp_path, Path("unfinished-download.jpg")) is None
    assert make_photos(tmp_path) == files


# --- Words ------------------------------------------------------------------------------------------


def test_everything_in_a_report_is_escaped() -> None:
    evil = "<script>alert('&')</script>"
    page = as_html(
        Content(
            title=evil,
            folder=evil,
            files=[HashedFile(path=evil, size_bytes=1, sha256="00")],
            duplicates=[[evil, evil]],
            word_count=1,
            pictures=[Picture(evil, 1, 1, b"")],
        )
    )
    assert "<script" not in page


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (999, "999 B"), (1_000, "1.0 kB"), (3_760_918, "3.8 MB"), (5_200_000_000, "5.2 GB")],
)
def test_sizes_are_readable(size: int, text: str) -> None:
    assert size_of(size) == text


@pytest.mark.parametrize(("count", "text"), [(0, "0 files"), (1, "1 file"), (12_000, "12,000 files")])
def test_counts_have_their_noun(count: int, text: str) -> None:
    assert count_of(count, "file") == text


# --- The log ----------------------------------------------------------------------------------------


async def test_a_reader_gets_what_is_there_and_what_comes() -> None:
    book = LogBook()
    book.write("first")
    book.write("noise", LogLevel.DEBUG)
    lines = book.read(LogLevel.INFO)
    assert (await anext(lines)).message == "first"
    waiting = asyncio.ensure_future(anext(lines))
    book.write("second", LogLevel.ERROR)
    assert (await waiting).message == "second"
    await lines.aclose()


async def test_a_slow_reader_goes_on_with_the_oldest_line_that_is_left() -> None:
    book = LogBook(kept_lines=2)
    lines = book.read()
    book.write("0")
    assert (await anext(lines)).message == "0"
    for number in range(1, 5):
        book.write(str(number))
    assert [(await anext(lines)).message for _ in range(2)] == ["3", "4"]
    await lines.aclose()

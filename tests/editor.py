"""A language server as an editor uses it: what it shows when one hovers over a name, and what it completes."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

ROOT = Path(__file__).resolve().parents[1]
SERVERS = {
    "python": [str(ROOT / "node_modules/.bin/pyright-langserver"), "--stdio"],
    "typescript": [str(ROOT / "node_modules/.bin/tsc"), "--lsp", "--stdio"],
}


class Editor:
    """Speaks the Language Server Protocol with one server over its standard streams.

    Args:
        language: "python" or "typescript".
        folder: the project's; its settings are found there.
    """

    def __init__(self, language: str, folder: Path) -> None:
        self._language = language
        self._folder = folder
        self._number = 0

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            SERVERS[self._language],
            cwd=self._folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        hover = {"contentFormat": ["plaintext"]}
        self._ask(
            "initialize",
            processId=None,
            rootUri=self._folder.as_uri(),
            workspaceFolders=[{"uri": self._folder.as_uri(), "name": "here"}],
            capabilities={"textDocument": {"hover": hover, "completion": {}}},
        )
        self._tell("initialized")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()

    def open(self, path: Path) -> File:
        """Open a file of the project."""
        text = path.read_text(encoding="utf-8")
        document = {"uri": path.as_uri(), "languageId": self._language, "version": 1, "text": text}
        self._tell("textDocument/didOpen", textDocument=document)
        return File(self, path.as_uri(), text)

    def ask_at(self, method: str, uri: str, line: int, character: int) -> Any:
        """Ask about a place, lines and characters from 0."""
        position = {"line": line, "character": character}
        return self._ask(f"textDocument/{method}", textDocument={"uri": uri}, position=position)

    def _ask(self, method: str, **parameters: Any) -> Any:
        self._number += 1
        self._send({"id": self._number, "method": method, "params": parameters})
        for message in self._messages():
            if message.get("id") == self._number and "method" not in message:
                assert "error" not in message, message
                return message["result"]
            if "id" in message:  # the server asks for settings and the like: it has none
                items = message.get("params", {}).get("items", [])
                self._send({"id": message["id"], "result": [None for _ in items]})
        raise AssertionError(f"{SERVERS[self._language][0]} has ended")

    def _tell(self, method: str, **parameters: Any) -> None:
        self._send({"method": method, "params": parameters})

    def _send(self, message: dict[str, Any]) -> None:
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        stream = self._process.stdin
        assert stream is not None
        stream.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        stream.flush()

    def _messages(self) -> Iterator[dict[str, Any]]:
        stream: IO[bytes] | None = self._process.stdout
        assert stream is not None
        length = 0
        while line := stream.readline():
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
            elif not line.strip():
                yield json.loads(stream.read(length))


class File:
    """An open file."""

    def __init__(self, editor: Editor, uri: str, text: str) -> None:
        self._editor = editor
        self._uri = uri
        self._text = text

    def hover(self, word: str, within: str) -> str:
        """What is shown over a word, in the first line that has `within`."""
        shown = self._editor.ask_at("hover", self._uri, *self._place(word, within))
        assert shown is not None, f"nothing is shown over {word}"
        contents = shown["contents"]
        return str(contents["value"] if isinstance(contents, dict) else contents)

    def complete(self, after: str, within: str) -> list[str]:
        """What may stand behind a text, in the first line that has `within`."""
        line, character = self._place(after, within)
        offered = self._editor.ask_at("completion", self._uri, line, character + len(after))
        items = offered["items"] if isinstance(offered, dict) else offered
        return [item["label"].rstrip("?") for item in items]

    def _place(self, word: str, within: str) -> tuple[int, int]:
        for number, line in enumerate(self._text.splitlines()):
            if within in line:
                return number, line.index(within) + within.index(word)
        raise AssertionError(f"no line has {within!r}")


@contextmanager
def editing(language: str, path: Path) -> Iterator[File]:
    """Open one file in an editor."""
    with Editor(language, path.parent) as editor:
        yield editor.open(path)

"""The file of an AsyncAPI document: JSON or YAML, to plain data and back."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ionbus.codegen.model import CodegenError

FILE_ENDINGS = frozenset({".json", ".yaml", ".yml"})
"""Of files that hold AsyncAPI documents."""


def write_text(document: Mapping[str, Any], path: Path, head: str = "") -> str:
    """Write a document as its file's ending says.

    Args:
        document: plain data.
        path: ends in .json, .yaml or .yml.
        head: a comment for the first line, in YAML only.

    Raises:
        CodegenError: it has another ending, or PyYAML is missing.
    """
    if path.suffix == ".json":
        return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    yaml = _yaml(path)
    text: str = yaml.dump(
        document,
        Dumper=_dumper(yaml),
        sort_keys=False,
        allow_unicode=True,
        width=100,
        default_flow_style=False,
    )
    return f"# {head}\n{text}" if head else text


def parse(path: Path) -> dict[str, Any]:
    """Read a file's document.

    Args:
        path: ends in .json, .yaml or .yml.

    Raises:
        CodegenError: there is no such file, it is not what its ending says, or PyYAML is missing.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise CodegenError(f"{path}: it cannot be read: {error.strerror}") from error
    try:
        if path.suffix == ".json":
            document = json.loads(text)
        else:
            yaml = _yaml(path)
            document = yaml.load(text, Loader=_loader(yaml))
    except ValueError as error:
        raise CodegenError(f"{path}: it is not JSON: {error}") from error
    except Exception as error:
        if type(error).__module__.startswith("yaml"):
            raise CodegenError(f"{path}: it is not YAML: {error}") from error
        raise
    if not isinstance(document, dict):
        raise CodegenError(f"{path}: it holds no AsyncAPI document")
    return document


def _yaml(path: Path) -> Any:
    if path.suffix not in FILE_ENDINGS:
        raise CodegenError(f"{path}: an AsyncAPI file ends in .yaml, .yml or .json")
    try:
        import yaml  # noqa: PLC0415 - an extra, which JSON does without
    except ImportError as error:
        raise CodegenError(
            f"{path}: YAML needs PyYAML: pip install 'ionbus[codegen]', or name a .json file"
        ) from error
    return yaml


def _loader(yaml: Any) -> Any:
    """YAML 1.2's idea of values: dates and `no` are text."""

    fastest: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's, where it was built in

    class Loader(fastest):  # type: ignore[misc]
        yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's own form
            first: [
                (tag, pattern)
                for tag, pattern in resolvers
                if tag not in {"tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:bool"}
            ]
            for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
        }

    Loader.add_implicit_resolver(
        "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
    )
    return Loader


def _dumper(yaml: Any) -> Any:
    class Dumper(yaml.SafeDumper):  # type: ignore[misc]
        def ignore_aliases(self, data: object) -> bool:
            return True

    def text(dumper: Any, value: str) -> Any:
        # PyYAML's unquoted styles lose line breaks other than \n.
        lines = value.split("\n")
        are_plain = all(line.isprintable() and line == line.rstrip() for line in lines)
        style = '"' if not are_plain else "|" if len(lines) > 1 else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)

    Dumper.add_representer(str, text)
    return Dumper

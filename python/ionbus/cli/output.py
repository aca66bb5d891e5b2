"""How values and errors are shown: for people, or as JSON lines."""

from __future__ import annotations

import base64
import json
import re
import sys
from array import array
from datetime import date, datetime, time, timedelta
from typing import Any

import click

from ionbus.errors import IonbusError, error_to_wire, printable

_BEYOND_JSON = re.compile("[\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
"""Control characters that JSON lets stand, and those that turn the direction of a text."""


def show(value: object, *, as_json: bool) -> None:
    """Print a value: indented, or on one line as JSON."""
    text = _dump(value, None if as_json else 2)
    click.echo(text)
    sys.stdout.flush()


def show_event(name: str, payload: object, *, as_json: bool) -> None:
    """Print an event on one line."""
    if as_json:
        show({"name": name, "payload": payload}, as_json=True)
    else:
        click.echo(f"{click.style(printable(name), bold=True)} {_dump(payload, None)}")
        sys.stdout.flush()


def fail(error: Exception, *, as_json: bool) -> None:
    """Print why the operation failed, and exit with status 1."""
    if isinstance(error, IonbusError):
        code, message, details = error_to_wire(error)
    else:
        code, message, details = type(error).__name__, str(error), {}
    if as_json:
        show({"error": {"code": code, "message": message, "details": details}}, as_json=True)
    else:
        click.echo(f"{click.style(printable(code), fg='red', bold=True)}: {_safe(message)}", err=True)
    sys.exit(1)


def _dump(value: object, indent: int | None) -> str:
    text = json.dumps(_plain(value), indent=indent, ensure_ascii=False, default=_as_json)
    return _BEYOND_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _safe(text: str) -> str:
    """A text of the other side's as a terminal may show it: lines stay, but nothing in it moves the cursor."""
    return "\n".join(printable(line, 4_000) for line in text.split("\n"))


def _plain(value: Any) -> Any:
    """JSON has text keys only."""
    if isinstance(value, dict):
        return {key if isinstance(key, str) else str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    return value


def _as_json(value: object) -> object:
    if isinstance(value, (bytes, bytearray)):
        return base64.b64encode(value).decode()
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, (set, frozenset, array)):
        return [_plain(part) for part in value]
    return str(value)

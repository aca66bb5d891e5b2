"""A contract as an AsyncAPI 3.0 document, written and read back: what is written is what is read.

The document describes the broker: it sends its events, receives those of clients, and receives the requests of the
calls and streams that it serves. What AsyncAPI has no word for is under `x-ionbus-…`:

- of an operation: `kind` (`stream`; a reply alone makes a call), `delivery`, `key`, `timeout-ms`, `idempotent`,
  `roles`, `deprecated`;
- of a message: `error` (the code of a declared error, whose class is the message's name), and `sent` or `received`,
  the schema of the other direction, where what a client sends differs from what it gets (`payload` is what travels);
- of a schema: `x-ionbus` as in `contract/schema.py`, and `mapping` of a discriminator;
- of the document: `contracts` (those inside it) and `fingerprint`. A document without a fingerprint, or with another
  one than its own, was written by hand.
"""

from ionbus.codegen.asyncapi.reader import is_written_by_ionbus, read_asyncapi
from ionbus.codegen.asyncapi.text import FILE_ENDINGS, parse, write_text
from ionbus.codegen.asyncapi.writer import write_asyncapi

__all__ = ["FILE_ENDINGS", "is_written_by_ionbus", "parse", "read_asyncapi", "write_asyncapi", "write_text"]

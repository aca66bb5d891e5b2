"""The payloads' models: what every server makes of each message that it receives."""
# ruff: noqa: N815 - fields are named as the payloads spell them

from pydantic import BaseModel


class Tick(BaseModel):
    """The smallest useful event, 20 B as msgpack."""

    t: float
    n: int


class Meta(BaseModel):
    """What the queue says of a node."""

    attempt: int
    queue: list[int]


class Progress(BaseModel):
    """How far one node of a flow has come, 150 B."""

    executionId: str
    nodeId: str
    progress: float
    state: str
    message: str | None = None
    meta: Meta


class File(BaseModel):
    """One file that a node has written."""

    path: str
    bytes: int
    sha256: str


class Output(BaseModel):
    """What one node has made."""

    files: list[File]


class Result(BaseModel):
    """What a run has made, 5 KB; with more nodes, 1 MB."""

    executionId: str
    success: bool
    startedAt: str
    durationMs: float
    outputs: dict[str, Output]


Kind = type[Tick] | type[Progress] | type[Result]

KINDS: dict[str, Kind] = {"tick": Tick, "progress": Progress, "result": Result}
"""By the names that servers and clients use."""

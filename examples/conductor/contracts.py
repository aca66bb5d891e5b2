"""What the conductor's window and its broker agree on besides the contracts that ship with ionbus: `workflow`, the life of a
run, and `ui`, that of the window.

`ionbus codegen contracts --typescript src/generated` writes the same in TypeScript.
"""

from datetime import datetime

from pydantic import BaseModel, Field

from ionbus import Call, Contract, ContractError, Event, Stream
from ionbus.packs.workflow import LogLevel

# --- Flows --------------------------------------------------------------------------------------------


class Position(BaseModel):
    """Where a node's top left corner is on the canvas, in canvas units."""

    x: float
    y: float


class Node(BaseModel):
    """One step of a flow. Its `kind` names what it does; which kinds there are, flow.py tells."""

    id: str
    kind: str
    title: str
    position: Position


class Edge(BaseModel):
    """The output of the node `source` is what the node `target` takes as its `input`."""

    source: str
    target: str
    input: str


class Flow(BaseModel):
    """A graph of nodes: what it is, not how a run of it goes."""

    id: str
    name: str
    nodes: list[Node]
    edges: list[Edge]


class OpenFlow(BaseModel):
    """Which folder to work on; None: the sample photos, made where they are missing."""

    folder: str | None = None


class OpenedFlow(BaseModel):
    """A flow, and the folder that it would run over."""

    flow: Flow
    folder: str
    file_count: int
    is_sample: bool


class FolderMissing(ContractError):
    """The folder cannot be read."""

    code = "folder_missing"
    folder: str


# --- Runs ---------------------------------------------------------------------------------------------


class ExecuteFlow(BaseModel):
    """Run a flow. The caller names the run, so that it knows its events from the first one on."""

    execution_id: str = Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")
    flow: Flow
    folder: str
    pace_ms: int = Field(default=0, ge=0, le=5_000)
    """A pause after each file, in milliseconds: a handful of files is otherwise done before one sees it."""


class FlowProblem(BaseModel):
    """What is wrong with one node, or, without a node, with the flow as a whole."""

    node_id: str | None
    message: str


class FlowInvalid(ContractError):
    """The flow cannot run as given."""

    code = "flow_invalid"
    node_ids: list[str]
    problems: list[FlowProblem]


class NodeFailed(ContractError):
    """A node of the flow failed."""

    code = "node_failed"
    node_id: str
    reason: str


class HashedFile(BaseModel):
    """One file of the folder; `path` is relative to it."""

    path: str
    size_bytes: int
    sha256: str


class FlowResult(BaseModel):
    """What a run has made."""

    execution_id: str
    title: str
    report_path: str
    started_at: datetime
    duration_ms: float
    files: list[HashedFile]
    duplicates: list[list[str]]
    kept: list[str]
    word_count: int


class Cancelled(BaseModel):
    """A window has cancelled a run, and why."""

    execution_id: str
    reason: str


class Question(BaseModel):
    """What a node wants to know from the person at the window."""

    execution_id: str
    node_id: str
    prompt: str
    images: list[str]
    suggested_title: str


class Answer(BaseModel):
    """Which of the images to keep, and what to call the report."""

    keep: list[str]
    title: str = Field(min_length=1, max_length=120)


# --- The log ------------------------------------------------------------------------------------------


class LogQuery(BaseModel):
    """Lines of this level and above: the last ones first, then each new one as it is written."""

    level: LogLevel = LogLevel.INFO


class LogLine(BaseModel):
    """One line of the broker's log."""

    at: datetime
    level: LogLevel
    message: str
    execution_id: str | None = None
    node_id: str | None = None


# --- The shell: Electron's main process ---------------------------------------------------------------


class PickedFolder(BaseModel):
    """The folder that was picked; None: the dialog was dismissed."""

    folder: str | None


class ShowReport(BaseModel):
    """The report of a finished run."""

    execution_id: str


class Reveal(BaseModel):
    """A file to show in the system's file manager."""

    path: str


class ShellMissing(ContractError):
    """There is no Electron to open a native dialog with."""

    code = "shell_missing"


class ReportMissing(ContractError):
    """No report of that run is known to this broker."""

    code = "report_missing"


class Stumbled(BaseModel):
    """Something at which Python's listener raises, until it is mended."""

    over: str


class Pong(BaseModel):
    """The process that answered."""

    pid: int


# --- The contract -------------------------------------------------------------------------------------


class Conductor(Contract, name="conductor", version="1.0"):
    """Runs flows over real files and reports on them."""

    cancelled = Event(Cancelled, source="client")

    open_flow = Call(OpenFlow, OpenedFlow, raises=[FolderMissing])
    execute = Call(ExecuteFlow, FlowResult, timeout=None, raises=[FlowInvalid, NodeFailed])
    ask = Call(Question, Answer, served_by="client", timeout=None)
    logs = Stream(LogQuery, LogLine)
    ping = Call(None, Pong, timeout=5.0, doc="Answers at once.")

    choose_folder = Call(
        None, PickedFolder, timeout=None, raises=[ShellMissing], doc="Lets the person pick a folder."
    )
    show_report = Call(
        ShowReport, None, raises=[ShellMissing, ReportMissing], doc="Shows a report in the file manager."
    )

    class shell(Contract):  # noqa: N801 - a member's name
        """What Electron's main process does for the broker: the native parts."""

        ready = Call(None, None, doc="Electron is here, and answers the calls below.")
        pick_folder = Call(
            None,
            PickedFolder,
            served_by="client",
            timeout=None,
            doc="Opens the dialog in which one picks a folder.",
        )
        reveal = Call(Reveal, None, served_by="client")

    class debug(Contract):  # noqa: N801 - a member's name
        """For the demonstration only: an application would not offer this."""

        stumbled = Event(Stumbled, source="client")
        mend = Call(None, None, doc="From now on Python no longer stumbles.")
        block = Call(None, None, doc="Holds up the event loop for 0.4 s, as no handler should.")
        kill = Call(None, None, doc="Kills the broker's process with SIGKILL. There is never an answer.")

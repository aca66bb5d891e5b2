"""What the end-to-end tests' broker serves: a little of everything that a contract can declare.

`ionbus codegen contracts --typescript generated`, run in this folder, writes the same in TypeScript.
"""

from pydantic import BaseModel, Field

from ionbus import Call, Contract, ContractError, Event, Stream


class Parcel(BaseModel):
    """Text and bytes, to be sent back as they came."""

    text: str
    data: bytes


class Sum(BaseModel):
    """Two numbers to add."""

    a: int
    b: int = Field(ge=0)


class Job(BaseModel):
    """Work that takes a while. Its name is how `fate` finds it."""

    name: str
    seconds: float


class Refusal(BaseModel):
    """What the refusal is to say."""

    reason: str
    allowed: list[int]


class Refused(ContractError):
    """This was refused."""

    code = "refused"
    reason: str
    allowed: list[int]


class Ticks(BaseModel):
    """How many `tick`s to emit, and how long to wait between them."""

    count: int
    interval: float = 0.0
    run: str = ""


class Tick(BaseModel):
    """One of a row: `number` rises by one from 0 within a `run`."""

    run: str
    number: int


class Level(BaseModel):
    """The newest value of something that is called `name`."""

    name: str
    value: float


class Said(BaseModel):
    """Something that a client says to all who listen."""

    who: str
    text: str


class Count(BaseModel):
    """Numbers from 0 to `upto`, without it, under a name that `fate` knows."""

    name: str
    upto: int
    interval: float = 0.0


class Question(BaseModel):
    """What the broker asks its client."""

    text: str


class Answer(BaseModel):
    """What the client answers."""

    text: str
    data: bytes


class Stop(BaseModel):
    """How the broker shall stop."""

    drain: float
    elsewhere: str | None = None


class Probe(Contract, name="probe", version="1.0"):
    """A broker that does on request whatever a test wants to see."""

    tick = Event(Tick)
    level = Event(Level, delivery="latest", key="name")
    said = Event(Said, source="client")

    pid = Call(None, int)
    sessions = Call(None, int, doc="How many there are.")
    subscribed = Call(None, list[str], doc="The patterns that its caller has subscribed to.")
    add = Call(Sum, int)
    echo = Call(Parcel, Parcel)
    slow = Call(Job, str, timeout=None)
    count = Stream(Count, int)
    fate = Call(str, str, doc="What became of a job or a count: unknown, running, finished, cancelled.")

    block_thread = Call(float, float, timeout=None, doc="Occupy a thread for so many seconds.")
    block_loop = Call(float, float, timeout=None, doc="Occupy the event loop itself for so many seconds.")
    ignore_cancellation = Call(float, None, timeout=None, doc="Go on for so many seconds, also when cancelled.")
    noisy = Call(
        None, int, doc="Print, and run a child that reads its standard input and prints: how much it read."
    )
    fail = Call(Refusal, None, raises=[Refused])
    crash = Call(str, None, doc="Raise what is not declared.")

    emit_ticks = Call(Ticks, None, timeout=None)
    set_level = Call(Level, None)
    heard = Call(str, list[Said], doc="What that client has said, as the broker heard it.")

    stop = Call(Stop, None, doc="Stop, and answer at once.")
    guarded = Call(None, str, roles={"admin"}, doc="For administrators: it says `open`.")
    raise_alarm = Call(str, None, doc="Emit `alarm`.")
    alarm = Event(str, roles={"admin"})

    question = Call(Question, Answer, served_by="client")
    ask = Call(str, Answer, doc="Ask the caller.")
    ask_from_thread = Call(str, Answer, doc="The same from a `def` handler.")

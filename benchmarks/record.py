"""What was measured: records, and the file that holds those of one run."""

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Ratio:
    """One figure divided by another's, round for round.

    Args:
        value: the median of the rounds' ratios.
        spread: their lower and upper quartile.
    """

    value: float
    spread: tuple[float, float]


@dataclass(frozen=True)
class Record:
    """One figure of one system.

    Args:
        workload: what was done, `call-64`.
        system: by what, `ionbus-websocket`.
        payload: with what, `150B`.
        metric: what was counted, `calls`.
        value: the median of the rounds.
        unit: of what, `1/s`, `us`.
        spread: the rounds' lower and upper quartile.
        rounds: each round's figure, in the order in which they were measured.
        ratio_to: the same figure of other systems, and this one divided by it.
    """

    workload: str
    system: str
    payload: str
    metric: str
    value: float
    unit: str
    spread: tuple[float, float]
    rounds: tuple[float, ...] = ()
    ratio_to: dict[str, Ratio] = field(default_factory=dict)


def record(
    workload: str, system: str, payload: str, metric: str, unit: str, rounds: Sequence[float]
) -> Record:
    """Make the record of what the rounds gave, six digits of it."""
    rounds = [float(f"{each:.6g}") for each in rounds]
    return Record(
        workload, system, payload, metric, statistics.median(rounds), unit, quartiles(rounds), tuple(rounds)
    )


def quartiles(values: Sequence[float]) -> tuple[float, float]:
    """Give the lower and the upper quartile; of a single value, itself twice."""
    if len(values) == 1:
        return values[0], values[0]
    lower, _, upper = statistics.quantiles(values, n=4, method="inclusive")
    return lower, upper


def ratio(record: Record, reference: Record) -> Ratio:
    """Divide round by round: what disturbed the machine meanwhile has disturbed both."""
    if len(record.rounds) != len(reference.rounds):
        raise ValueError(
            f"{record.workload}: {record.system} and {reference.system} were not measured in the same rounds"
        )
    ratios = [mine / other for mine, other in zip(record.rounds, reference.rounds, strict=True) if other]
    if not ratios:
        raise ValueError(f"{record.workload}: {reference.system} has counted nothing")
    ratios = [float(f"{each:.4g}") for each in ratios]
    return Ratio(statistics.median(ratios), quartiles(ratios))


@dataclass(frozen=True)
class Run:
    """What one run has measured.

    Args:
        about: the machine, the versions, the loop, and when it was.
        records: the figures.
    """

    about: dict[str, str]
    records: list[Record]

    def save(self, path: Path) -> None:
        """Write it as JSON, a line a record."""
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = ",\n".join(json.dumps(asdict(each)) for each in self.records)
        path.write_text(f'{{"about": {json.dumps(self.about)},\n"records": [\n{lines}\n]}}\n', "utf-8")


def load(path: Path) -> Run:
    """Read what `Run.save` has written."""
    content = json.loads(path.read_text("utf-8"))
    return Run(content["about"], [_from_json(each) for each in content["records"]])


def _from_json(fields: dict[str, Any]) -> Record:
    lower, upper = fields["spread"]
    ratios = {
        system: Ratio(each["value"], (each["spread"][0], each["spread"][1]))
        for system, each in fields["ratio_to"].items()
    }
    return Record(
        **fields | {"spread": (lower, upper), "rounds": tuple(fields["rounds"]), "ratio_to": ratios}
    )

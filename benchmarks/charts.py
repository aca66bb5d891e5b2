"""Records as charts, each as PNG and SVG."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks.record import Record, Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes
else:
    Axes = Any


class Panel(NamedTuple):
    """Bars of one figure, a system each."""

    title: str
    workload: str
    metric: str
    payload: str = "150B"


CHARTS: dict[str, tuple[Panel, ...]] = {
    "calls": (
        Panel("one call at a time, median (µs): less is better", "call", "median"),
        Panel("64 calls in flight (calls/s): more is better", "call-64", "rate"),
    ),
    "events": (
        Panel("events to the server (1/s): more is better", "events-in", "rate"),
        Panel("events from the server (1/s): more is better", "events-out", "rate"),
    ),
    "bulk": (
        Panel("100 MB to the server (MB/s): more is better", "bulk-in", "rate", "100MB"),
        Panel("100 MB from the server (MB/s): more is better", "bulk-out", "rate", "100MB"),
    ),
    "cpu": (
        Panel("the server's CPU for an event to it (µs): less is better", "events-in", "cpu_server"),
        Panel("the client's CPU for an event to it (µs): less is better", "events-out", "cpu_client"),
    ),
}
"""By the name of the file."""

OURS, OTHERS = "#1565c0", "#9e9e9e"


def draw(run: Run, folder: Path) -> list[Path]:
    """Draw all that the run has figures for; give the files."""
    import matplotlib as mpl  # noqa: PLC0415 - installed for benchmarks alone

    mpl.use("Agg")
    mpl.rcParams.update({"svg.hashsalt": "ionbus", "svg.fonttype": "none", "font.size": 9})
    folder.mkdir(parents=True, exist_ok=True)
    files: list[Path] = []
    for name, panels in CHARTS.items():
        found = [(panel, shown) for panel in panels if (shown := _records(run, panel))]
        if found:
            files += _save(folder / name, found)
    if fan_out := [
        each for each in run.records if each.workload.startswith("fan-out-") and each.metric == "rate"
    ]:
        files += _save_fan_out(folder / "fan-out", fan_out)
    return files


def _records(run: Run, panel: Panel) -> list[Record]:
    wanted = (panel.workload, panel.metric, panel.payload)
    return [each for each in run.records if (each.workload, each.metric, each.payload) == wanted]


def _save(path: Path, found: Sequence[tuple[Panel, Sequence[Record]]]) -> list[Path]:
    import matplotlib.pyplot as plt  # noqa: PLC0415

    height = 0.6 + 0.28 * max(len(shown) for _, shown in found)
    figure, places = plt.subplots(1, len(found), figsize=(5.2 * len(found), height), squeeze=False)
    for place, (panel, shown) in zip(places[0], found, strict=True):
        _bars(place, panel, shown)
    return _write(figure, path)


def _bars(place: Axes, panel: Panel, shown: Sequence[Record]) -> None:
    values = [each.value for each in shown]
    errors = [
        [each.value - each.spread[0] for each in shown],
        [each.spread[1] - each.value for each in shown],
    ]
    colours = [OURS if each.system.startswith("ionbus") else OTHERS for each in shown]
    place.barh(
        [each.system for each in shown], values, xerr=errors, color=colours, ecolor="#424242", capsize=2
    )
    place.invert_yaxis()
    place.set_title(panel.title, fontsize=9)
    place.spines[["top", "right"]].set_visible(False)
    place.locator_params(axis="x", nbins=5)
    place.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")


def _save_fan_out(path: Path, records: Sequence[Record]) -> list[Path]:
    import matplotlib.pyplot as plt  # noqa: PLC0415

    figure, place = plt.subplots(figsize=(6.5, 3.6))
    for system in dict.fromkeys(each.system for each in records):
        points = sorted(
            (int(each.workload.rpartition("-")[2]), each.value) for each in records if each.system == system
        )
        width = 2 if system.startswith("ionbus") else 1
        place.plot(*zip(*points, strict=True), marker="o", markersize=3, linewidth=width, label=system)
    place.set(xscale="log", yscale="log", xlabel="sessions", ylabel="deliveries a second")
    place.set_title("one event to many sessions: more is better", fontsize=9)
    place.spines[["top", "right"]].set_visible(False)
    place.legend(frameon=False, fontsize=8)
    return _write(figure, path)


def _write(figure: Any, path: Path) -> list[Path]:
    import matplotlib.pyplot as plt  # noqa: PLC0415

    files = [path.with_suffix(".png"), path.with_suffix(".svg")]
    figure.tight_layout()
    figure.savefig(files[0], dpi=120)
    figure.savefig(files[1], metadata={"Date": None})
    plt.close(figure)
    return files

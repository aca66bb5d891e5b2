"""Brings docs/benchmarks.md up to date: its table, between two marks, and the charts that it shows."""

from pathlib import Path

from benchmarks.charts import draw
from benchmarks.record import Run
from benchmarks.report import summary

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
CHARTS = PAGE.parent / "benchmarks"
BEGIN, END = "<!-- figures: written by `make bench` -->", "<!-- end of figures -->"


def publish(run: Run) -> None:
    """Write both."""
    draw(run, CHARTS)
    PAGE.write_text(with_figures(PAGE.read_text("utf-8"), run), "utf-8")


def with_figures(page: str, run: Run) -> str:
    """Give the page with this run's figures between the marks.

    Raises:
        ValueError: it has no such marks.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no {BEGIN!r} with {END!r} after it")
    about = ", ".join(f"{name} {fact}" for name, fact in run.about.items())
    return f"{before}{BEGIN}\n\n{summary(run)}\nMeasured on: {about}.\n\n{END}{after}"

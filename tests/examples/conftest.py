"""The conductor's modules are what a user's would be: files of one folder, started from there."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

CONDUCTOR = Path(__file__).parents[2] / "examples" / "conductor"
sys.path.insert(0, str(CONDUCTOR))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with two images, two texts, and one file twice."""
    folder = tmp_path / "my-trip"
    (folder / "notes").mkdir(parents=True)
    Image.new("RGB", (64, 48), "teal").save(folder / "a.jpg")
    Image.new("RGB", (48, 64), "gold").save(folder / "b.png")
    (folder / "notes" / "one.txt").write_text("three little words\n")
    (folder / "notes" / "two.md").write_text("# été\n\n日本 and more\n", encoding="utf-8")
    (folder / "notes" / "again.txt").write_text("three little words\n")
    return folder


@pytest.fixture
def image(tmp_path: Path) -> Callable[..., Path]:
    """Saves an image and gives its path relative to `tmp_path`."""

    def save(name: str, mode: str = "RGB", size: tuple[int, int] = (640, 480)) -> Path:
        Image.new(mode, size).save(tmp_path / name)
        return Path(name)

    return save

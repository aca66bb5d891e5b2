"""Draws a folder of sample photos and notes, so that the conductor has something to work on.

python make_photos.py FOLDER
"""

import math
import random
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageChops, ImageDraw, ImageFilter

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Scene:
    """One picture: its file, its size, what it shows."""

    file: str
    size: tuple[int, int]
    draw: Callable[[Image.Image, random.Random], None]


def gradient(image: Image.Image, top: Colour, bottom: Colour, start: float = 0.0, end: float = 1.0) -> None:
    """Fill a band of the picture (shares of its height) from one colour to another."""
    width, height = image.size
    band = Image.new("RGB", (1, 256))
    for y in range(256):
        share = y / 255
        band.putpixel((0, y), mix(top, bottom, share))
    first, last = int(height * start), int(height * end)
    image.paste(band.resize((width, max(1, last - first)), Image.Resampling.BICUBIC), (0, first))


def mix(one: Colour, other: Colour, share: float) -> Colour:
    """A colour between two."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return (red, green, blue)


def glow(image: Image.Image, centre: tuple[float, float], radius: float, colour: Colour) -> None:
    """A disc of light with a halo."""
    width, height = image.size
    x, y, r = centre[0] * width, centre[1] * height, radius * height
    small = Image.new("RGB", (width // 8 + 1, height // 8 + 1))
    halo = tuple(part // 2 for part in colour)
    ImageDraw.Draw(small).ellipse(
        [(x - 2 * r) / 8, (y - 2 * r) / 8, (x + 2 * r) / 8, (y + 2 * r) / 8], fill=halo
    )
    light = small.filter(ImageFilter.GaussianBlur(r / 8)).resize(image.size, Image.Resampling.BICUBIC)
    image.paste(ImageChops.screen(image, light))
    ImageDraw.Draw(image).ellipse([x - r, y - r, x + r, y + r], fill=colour)


def ridge(image: Image.Image, rng: random.Random, level: float, rough: float, colour: Colour) -> None:
    """A range of hills or mountains: waves of falling height and growing number, filled to the bottom."""
    width, height = image.size
    waves = [(rng.uniform(1.2, 1.9) * 1.9**n, rng.uniform(0, 7), rough / 1.8**n) for n in range(7)]
    points = [
        (
            x,
            height
            * (
                level
                + sum(size * math.sin(count * math.pi * x / width + phase) for count, phase, size in waves)
            ),
        )
        for x in range(0, width + 8, 8)
    ]
    ImageDraw.Draw(image).polygon([(0, height), *points, (width + 8, height)], fill=colour)


def mountains(image: Image.Image, rng: random.Random) -> None:
    gradient(image, (246, 205, 176), (250, 235, 215))
    glow(image, (0.68, 0.36), 0.055, (255, 244, 220))
    for step in range(6):
        share = step / 5
        ridge(image, rng, 0.46 + 0.1 * step, 0.062 - 0.004 * step, mix((196, 170, 178), (38, 44, 72), share))


def harbour(image: Image.Image, rng: random.Random) -> None:
    gradient(image, (52, 44, 92), (246, 146, 96), 0, 0.6)
    glow(image, (0.4, 0.53), 0.07, (255, 214, 150))
    gradient(image, (214, 116, 92), (28, 34, 66), 0.6, 1)
    width, height = image.size
    draw = ImageDraw.Draw(image)
    for _ in range(260):
        y = rng.uniform(0.61, 0.98)
        half = rng.uniform(0.01, 0.05) * (1.6 - y) * width
        x = width * (0.4 + rng.gauss(0, 0.05 + 0.12 * (y - 0.6)))
        draw.line(
            [x - half, y * height, x + half, y * height],
            fill=(255, 196, 138),
            width=max(1, int(height * 0.003)),
        )
    for x, size in ((0.66, 1.0), (0.8, 0.6), (0.15, 0.45)):
        w, h = width * 0.075 * size, height * 0.19 * size
        left, foot = width * x, height * (0.62 + 0.05 * size)
        draw.polygon(
            [
                (left, foot),
                (left + w, foot),
                (left + w * 0.8, foot + h * 0.16),
                (left + w * 0.2, foot + h * 0.16),
            ],
            fill=(24, 22, 44),
        )
        draw.polygon(
            [
                (left + w * 0.5, foot - h),
                (left + w * 0.5, foot - h * 0.06),
                (left + w * 0.95, foot - h * 0.06),
            ],
            fill=(244, 226, 210),
        )
        draw.polygon(
            [
                (left + w * 0.44, foot - h * 0.8),
                (left + w * 0.44, foot - h * 0.06),
                (left + w * 0.08, foot - h * 0.06),
            ],
            fill=(226, 198, 186),
        )


def night(image: Image.Image, rng: random.Random) -> None:
    gradient(image, (8, 12, 34), (52, 78, 122))
    width, height = image.size
    draw = ImageDraw.Draw(image)
    for _ in range(420):
        x, y, r = (
            rng.uniform(0, width),
            rng.uniform(0, height * 0.75),
            rng.choice((0.6, 0.8, 1, 1, 1.6)) * height / 900,
        )
        draw.ellipse([x - r, y - r, x + r, y + r], fill=mix((120, 140, 190), (255, 250, 235), rng.random()))
    glow(image, (0.27, 0.24), 0.06, (246, 240, 222))
    ridge(image, rng, 0.76, 0.05, (24, 34, 62))
    ridge(image, rng, 0.86, 0.03, (10, 14, 30))


def dunes(image: Image.Image, rng: random.Random) -> None:
    gradient(image, (112, 170, 206), (238, 222, 196), 0, 0.6)
    for step, (light, dark) in enumerate(
        (((232, 190, 134), 0.52), ((218, 160, 98), 0.64), ((190, 120, 70), 0.78), ((146, 84, 54), 0.9))
    ):
        ridge(image, rng, dark, 0.045, light)
        ridge(image, rng, dark + 0.06, 0.035, mix(light, (98, 52, 40), 0.25 + 0.05 * step))


def city(image: Image.Image, rng: random.Random) -> None:
    gradient(image, (26, 30, 62), (232, 140, 126))
    width, height = image.size
    draw = ImageDraw.Draw(image)
    for layer, colour in enumerate(((98, 76, 112), (58, 48, 86), (22, 22, 46))):
        x = -width * 0.02
        while x < width:
            w = width * rng.uniform(0.04, 0.085)
            top = height * (rng.uniform(0.3, 0.62) + 0.09 * layer)
            draw.rectangle([x, top, x + w, height], fill=colour)
            if layer:
                pane = width / 150
                for row in range(int((height - top) / (pane * 2.2))):
                    for column in range(int(w / (pane * 1.9))):
                        if rng.random() < 0.32:
                            left, up = x + pane * (0.6 + column * 1.9), top + pane * (1 + row * 2.2)
                            draw.rectangle(
                                [left, up, left + pane * 0.9, up + pane * 1.2],
                                fill=mix((255, 214, 140), colour, rng.uniform(0, 0.6)),
                            )
            x += w * rng.uniform(1.0, 1.25)


def forest(image: Image.Image, rng: random.Random) -> None:
    gradient(image, (214, 226, 222), (176, 200, 188))
    width, height = image.size
    draw = ImageDraw.Draw(image)
    for layer in range(5):
        colour = mix((150, 182, 168), (18, 52, 46), layer / 4)
        foot = height * (0.56 + 0.1 * layer)
        draw.rectangle([0, foot - height * 0.02, width, height], fill=colour)
        for _ in range(30 - 3 * layer):
            x, h = rng.uniform(0, width), height * rng.uniform(0.16, 0.3) * (0.7 + 0.16 * layer)
            for tier in range(4):
                half, up = h * (0.24 - 0.045 * tier), foot - h * (0.2 * tier)
                draw.polygon([(x - half, up), (x + half, up), (x, up - h * 0.42)], fill=colour)


def aurora(image: Image.Image, rng: random.Random) -> None:
    gradient(image, (6, 10, 30), (22, 54, 78))
    width, height = image.size
    small = Image.new("RGB", (width // 4, height // 4))
    draw = ImageDraw.Draw(small)
    for band in range(3):
        phase, level = rng.uniform(0, 6), 0.25 + 0.1 * band
        for x in range(small.width):
            y = small.height * (level + 0.09 * math.sin(2.3 * math.pi * x / small.width + phase))
            draw.line(
                [x, y, x, y + small.height * 0.26],
                fill=mix((30, 190, 130), (92, 70, 190), (x / small.width + band * 0.3) % 1),
            )
    light = small.filter(ImageFilter.GaussianBlur(small.height / 22)).resize(
        image.size, Image.Resampling.BICUBIC
    )
    image.paste(ImageChops.screen(image, light))
    ridge(image, rng, 0.8, 0.05, (10, 20, 34))
    ridge(image, rng, 0.9, 0.02, (4, 8, 16))


def meadow(image: Image.Image, rng: random.Random) -> None:
    gradient(image, (124, 184, 226), (226, 240, 244), 0, 0.7)
    ridge(image, rng, 0.55, 0.035, (126, 172, 142))
    ridge(image, rng, 0.64, 0.03, (108, 168, 96))
    ridge(image, rng, 0.76, 0.025, (84, 148, 74))
    width, height = image.size
    draw = ImageDraw.Draw(image)
    for _ in range(520):
        y = rng.uniform(0.79, 0.99)
        r = height * 0.012 * (y - 0.7)
        x = rng.uniform(0, width)
        colour = rng.choice(((246, 214, 92), (240, 128, 118), (250, 246, 240), (196, 130, 204)))
        draw.ellipse([x - r * 2, y * height - r * 2, x + r * 2, y * height + r * 2], fill=colour)


SCENES = [
    Scene("alps-at-dawn.jpg", (2400, 1600), mountains),
    Scene("aurora.jpg", (1600, 2000), aurora),
    Scene("city-lights.jpg", (2400, 1350), city),
    Scene("dunes.png", (1200, 900), dunes),
    Scene("fog-in-the-forest.jpg", (1500, 2000), forest),
    Scene("harbour-evening.jpg", (2600, 1460), harbour),
    Scene("meadow.webp", (1800, 1350), meadow),
    Scene("night-walk.jpg", (2000, 2000), night),
]

NOTES = {
    "notes/journey.md": (
        "# Two weeks with a sketchbook\n\nWe left before dawn, when the valley was still full of fog, and were on the"
        " first ridge as the sun came up. In the harbour the boats waited for the evening wind. The desert came last:"
        " two days of sand, and a sky with more stars than any of us had ever counted.\n"
    ),
    "notes/packing list.txt": "sketchbook\nwatercolours\ntwo brushes\nwarm socks\nthermos\nmap 1:25,000\nhead torch\n",
    "notes/été à Kraków.txt": "L'été prochain : Kraków, à vélo, le long de la Wisła. 自転車で。\n",
    "notes/distances.csv": "day,from,to,km\n1,valley,ridge,14.5\n2,ridge,lake,21.0\n3,lake,harbour,17.2\n",
}


def make_photos(folder: Path) -> list[Path]:
    """Draw what is missing in `folder`, and return all sample files, sorted. The same files every time.

    There are pictures of different sizes and formats, notes, one picture twice, and one that is cut short.
    """
    folder.mkdir(parents=True, exist_ok=True)
    made = [_draw(folder / scene.file, scene) for scene in SCENES]
    for name, text in NOTES.items():
        note = folder / name
        note.parent.mkdir(exist_ok=True)
        note.write_text(text, encoding="utf-8")
        made.append(note)
    twice, short = folder / "dunes (copy).png", folder / "unfinished-download.jpg"
    shutil.copyfile(folder / "dunes.png", twice)
    short.write_bytes((folder / "alps-at-dawn.jpg").read_bytes()[:40_000])
    return sorted([*made, twice, short])


def _draw(path: Path, scene: Scene) -> Path:
    if not path.exists():
        image = Image.new("RGB", scene.size)
        scene.draw(image, random.Random(scene.file))
        unfinished = path.with_name(f".{path.name}")
        image.save(unfinished, format=Image.registered_extensions()[path.suffix], quality=88)
        unfinished.replace(path)
    return path


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    for file in make_photos(Path(sys.argv[1])):
        print(file)

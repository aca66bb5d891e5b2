"""Measures one typed call from Electron's renderer to Python and back, beside `ipcRenderer.invoke` to Electron's own main.

All three in one window, in turns: over the port, over the WebSocket, `ipcRenderer.invoke` through a contextBridge. `make bench-electron`
calls this under a virtual screen, with the Electron to use in IONBUS_ELECTRON.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
NAMES = {"port": "port", "websocket": "WebSocket", "invoke": "ipcRenderer.invoke"}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--calls", type=int, default=5_000, help="sequential calls over each way (default: 5,000)"
    )
    parser.add_argument(
        "--rounds", type=int, default=10, help="how many turns they are made in (default: 10)"
    )
    parser.add_argument("--json", action="store_true", help="print the figures as one JSON object")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ionbus-bench-") as folder:
        build(Path(folder))
        figures = run(Path(folder), options.calls, options.rounds)
    if options.json:
        print(json.dumps(figures))
    else:
        report(figures)
    return 0


def build(target: Path) -> None:
    """Bundle the application into `target`."""
    esbuild = ROOT / "node_modules" / ".bin" / "esbuild"
    common: list[str | Path] = [esbuild, "--bundle", "--log-level=error", f"--outdir={target}"]
    outside: list[str | Path] = [
        "--platform=node",
        "--format=cjs",
        "--external:electron",
        "--out-extension:.js=.cjs",
    ]
    sources = HERE / "app"
    electron_main: list[str | Path] = [
        *common,
        *outside,
        "--conditions=require",
        "--log-override:empty-import-meta=silent",
    ]
    subprocess.run([*electron_main, sources / "main.mjs"], check=True)
    subprocess.run([*common, *outside, sources / "preload.mjs"], check=True)
    subprocess.run([*common, "--format=iife", sources / "page.mjs"], check=True)
    shutil.copy(sources / "index.html", target)
    (target / "package.json").write_text('{ "name": "ionbus-bench", "main": "main.cjs" }\n')


def run(application: Path, calls: int, rounds: int) -> dict[str, dict[str, float]]:
    """Run the application; it prints its figures as the last line."""
    switches = ["--disable-gpu", *(["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else [])]
    environment = {
        **os.environ,
        "BENCH_PYTHON": sys.executable,
        "BENCH_BROKER": str(HERE / "app" / "broker.py"),
        "BENCH_CALLS": str(calls),
        "BENCH_ROUNDS": str(rounds),
    }
    command = [os.environ.get("IONBUS_ELECTRON", "electron"), *switches, str(application)]
    done = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, text=True, check=True, timeout=600
    )
    figures: dict[str, dict[str, float]] = json.loads(done.stdout.strip().splitlines()[-1])
    return figures


def report(figures: dict[str, dict[str, float]]) -> None:
    """Print them for people."""
    base = figures["invoke"]
    print(f"{'':20} {'mean':>9} {'best round':>11} {'ratio':>7} {'64 in flight':>15} {'ratio':>7}")
    for way, name in NAMES.items():
        figure = figures[way]
        mean, rate = figure["mean_us"], figure["calls_per_second"]
        print(
            f"{name:20} {mean:6.0f} µs {figure['best_round_us']:8.0f} µs {mean / base['mean_us']:6.2f}x"
            f" {rate:9,.0f} / s {rate / base['calls_per_second']:8.2f}x"
        )


if __name__ == "__main__":
    sys.exit(main())

"""The generated TypeScript: what is checked in is what is made, it compiles, and its types are the right ones."""

import json
import subprocess
from pathlib import Path

import pytest

from ionbus import codegen

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
EXPORTING = (
    *(
        "contract",
        "dispatch/answer",
        "errors",
        "wire/all_values",
        "wire/bigints",
        "wire/collections",
        "wire/decimal",
        "wire/times",
    ),
    *("wire/typed_arrays", "wire/uuid", "wire/values"),
)
"""The modules of the package `ionbus` that generated code imports from."""
GENERATED = HERE / "generated"


def test_what_is_checked_in_is_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(HERE))
    stale = codegen.check(["showcase"], GENERATED)
    assert not stale, (
        "".join(stale.values()) + "run: cd tests/codegen && ionbus codegen showcase --typescript generated"
    )


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_it_compiles_and_its_types_are_the_right_ones(tmp_path: Path) -> None:
    """`showcase.types.ts` has right uses, and wrong ones under `@ts-expect-error`, which tsc verifies both."""
    tsc = ROOT / "node_modules" / ".bin" / "tsc"
    assert tsc.exists(), "tsc is missing; run `make setup`"
    source = ROOT / "js-shim" / "src"
    (tmp_path / "ionbus.ts").write_text(
        "".join(f'export * from "{source}/{name}.js";\n' for name in EXPORTING),
        encoding="utf-8",
    )
    settings = {
        "compilerOptions": {
            "noEmit": True,
            "target": "ES2022",
            "lib": ["ES2022", "DOM"],
            "types": [],
            "module": "ESNext",
            "moduleResolution": "Bundler",
            "strict": True,
            "exactOptionalPropertyTypes": True,
            "noUncheckedIndexedAccess": True,
            "noImplicitOverride": True,
            "noPropertyAccessFromIndexSignature": True,
            "noUnusedLocals": True,
            "verbatimModuleSyntax": True,
            "isolatedModules": True,
            "paths": {
                "ionbus": [str(tmp_path / "ionbus.ts")],
                "@msgpack/msgpack": [str(ROOT / "node_modules/@msgpack/msgpack")],
            },
        },
        "files": [str(HERE / "showcase.types.ts")],
    }
    (tmp_path / "tsconfig.json").write_text(json.dumps(settings), encoding="utf-8")
    command = [str(tsc), "--project", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_write_changes_only_what_is_stale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(HERE))
    out = tmp_path / "out"
    made = codegen.write(["showcase"], out)
    assert made == sorted(path.name for path in GENERATED.glob("showcase*.ts"))
    assert codegen.write(["showcase"], out) == []
    assert codegen.check(["showcase"], out) == {}

    (out / "showcase.ts").write_text("edited", encoding="utf-8")
    left_over = (out / "showcase.members.ts").read_text(encoding="utf-8")
    (out / "gone.members.ts").write_text(left_over, encoding="utf-8")
    (out / "mine.ts").write_text("// by hand\n", encoding="utf-8")
    assert set(codegen.check(["showcase"], out)) == {"gone.members.ts", "showcase.ts"}
    assert codegen.write(["showcase"], out) == ["gone.members.ts", "showcase.ts"]
    assert codegen.check(["showcase"], out) == {}
    assert (out / "mine.ts").exists()
    assert not (out / "gone.members.ts").exists()

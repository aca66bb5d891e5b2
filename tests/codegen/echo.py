"""What sends values through generated TypeScript: the contract's code is compiled, and a Node.js process echoes each value.

The contract has a call `ready` that the broker serves, and calls that a client serves, each with one type for both
parts. The process answers each with what it was given, after it has looked at it with the row's own TypeScript.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from ionbus import Broker, Context, Contract
from ionbus.codegen.reader import read_contract
from ionbus.codegen.typescript import write_typescript
from ionbus.contract.names import camel_case, pascal_case

ROOT = Path(__file__).parent.parent.parent
STRICT = {
    "target": "ES2021",
    "lib": ["ES2021", "DOM", "ESNext.Disposable"],
    "types": [],
    "module": "NodeNext",
    "moduleResolution": "NodeNext",
    "strict": True,
    "exactOptionalPropertyTypes": True,
    "noUncheckedIndexedAccess": True,
    "noImplicitOverride": True,
    "noPropertyAccessFromIndexSignature": True,
    "noUnusedLocals": True,
    "verbatimModuleSyntax": True,
    "isolatedModules": True,
    "skipLibCheck": False,
}
COMPILERS = {
    "7": ROOT / "node_modules" / "typescript" / "bin" / "tsc",
    "6": ROOT / "node_modules" / "old-typescript-6" / "bin" / "tsc",
    "5.4": ROOT / "node_modules" / "old-typescript-5.4" / "bin" / "tsc",
}


def write_project(
    contract: type[Contract],
    folder: Path,
    seen: Mapping[str, str] | None = None,
    sent: Mapping[str, str] | None = None,
) -> None:
    """Write the generated code of a contract, and a program that echoes, as a project that is ready to compile.

    Args:
        contract: with members as the module says.
        folder: an empty one.
        seen: TypeScript that is true of each `value`, by the member's name; where it is missing, nothing is asked.
        sent: TypeScript that makes of it what is sent back; where it is missing, that is the value.
    """
    seen, sent = seen or {}, sent or {}
    info = contract.__contract__
    for name, text in write_typescript(read_contract(info), "test").items():
        (folder / name).write_text(text, encoding="utf-8")
    public = pascal_case(info.name)
    handlers = "".join(
        f"bus.handle({public}.{camel_case(name)}, (value) => echo({json.dumps(name)}, "
        f"{seen.get(name, 'true')}, {sent.get(name, 'value')}));\n"
        for name in info.members
        if name != "ready"
    )
    program = f"""import {{ connect }} from "ionbus";
import {{ {public} }} from "./{info.name}.js";

// Said, since a page, for which this may be bundled, finds nothing in an environment.
const {{ env }} = (globalThis as unknown as {{ process: {{ env: {{ url: string; token: string }} }} }}).process;
const bus = connect({{ url: env.url, token: env.token }});

function echo<T>(name: string, isRight: boolean, value: T): T {{
  if (!isRight) console.error(name, "is seen as", value);
  if (!isRight) throw new TypeError(`${{name}} is seen as another value than it is`);
  return value;
}}

{handlers}
await bus.call({public}.ready);
"""
    (folder / "echo.ts").write_text(program, encoding="utf-8")
    (folder / "package.json").write_text('{ "type": "module" }', encoding="utf-8")
    (folder / "node_modules").symlink_to(ROOT / "node_modules")
    options = {**STRICT, "outDir": "out", "preserveSymlinks": False}
    (folder / "tsconfig.json").write_text(
        json.dumps({"compilerOptions": options, "files": ["echo.ts"]}), encoding="utf-8"
    )


def compile_project(folder: Path, compiler: str = "7") -> None:
    """Compile it with one of `COMPILERS`.

    Raises:
        AssertionError: it does not compile; the message is the compiler's.
    """
    tsc = COMPILERS[compiler]
    assert tsc.exists(), f"{tsc} is missing; run `make setup`"
    done = subprocess.run(["node", tsc, "--project", folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def bundle_for_page(folder: Path) -> None:
    """Bundle the compiled program as for a page, which has the code of those values alone that its contract has."""
    esbuild = str(ROOT / "node_modules" / ".bin" / "esbuild")
    program = str(folder / "out" / "echo.js")
    how = ("--bundle", "--format=esm", "--platform=browser", "--log-level=error", "--allow-overwrite")
    subprocess.run([esbuild, program, *how, f"--outfile={program}"], check=True)


@asynccontextmanager
async def echoing(contract: Any, folder: Path) -> AsyncIterator[Callable[[str, Any], Any]]:
    """Run the compiled program; gives what sends a value of a member there and back."""
    broker: Broker[Any] = Broker(contract)
    connected: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    async def ready(ctx: Context[Any]) -> None:
        connected.set_result(ctx.session)

    broker.handle(contract.ready)(ready)
    async with broker.serve("ws://127.0.0.1:0") as (endpoint,):
        env = {**os.environ, "url": endpoint.url, "token": endpoint.token or ""}
        node = await asyncio.create_subprocess_exec(
            "node", "--experimental-websocket", folder / "out" / "echo.js", env=env
        )
        try:
            ended = asyncio.ensure_future(node.wait())
            await asyncio.wait([ended, connected], timeout=20, return_when=asyncio.FIRST_COMPLETED)
            assert connected.done(), "the program did not connect"
            session = connected.result()
            yield lambda name, value: broker.call(session, getattr(contract, name), value)
        finally:
            if node.returncode is None:
                node.kill()
            await ended

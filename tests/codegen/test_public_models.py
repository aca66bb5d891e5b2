"""Models that we did not write: the generated code compiles with each compiler, and example values come back as sent."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from ionbus import Contract
from ionbus.contract.payload import Payload

from . import echo
from .public_models import UNIONS, contract_of, forms, member_name
from .samples import samples
from .type_rows import SEEN, SENT, Rows

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


@pytest.mark.parametrize("library", UNIONS, ids=lambda library: library.__name__)
async def test_values_come_back_as_they_were_sent(
    library: ModuleType, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    contract = contract_of(library)
    echo.write_project(contract, tmp_path)
    echo.compile_project(tmp_path)
    record_property("codegen: models and unions from outside", len(forms(library)))
    async with echo.echoing(contract, tmp_path) as send:
        for name, form in forms(library).items():
            payload = Payload(form)
            values = samples(form)
            assert values, f"{name}: no example is valid"
            for value in values:
                received = await send(member_name(name), value)
                assert received == payload.decode(bytes(payload.encode(value))), name
                assert payload.encode(received) == payload.encode(value), name


@pytest.mark.parametrize("compiler", ["5.4", "6"])
@pytest.mark.parametrize(
    "contract", [Rows, *map(contract_of, UNIONS)], ids=["rows", *(each.__name__ for each in UNIONS)]
)
def test_older_compilers_take_it_too(contract: type[Contract], compiler: str, tmp_path: Path) -> None:
    echo.write_project(contract, tmp_path, SEEN, SENT)
    echo.compile_project(tmp_path, compiler)

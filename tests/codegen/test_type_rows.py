"""Each kind of type: its generated TypeScript compiles, and its values come back from TypeScript as they were sent."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from ionbus.contract.payload import Payload

from . import echo
from .type_rows import ROWS, SEEN, SENT, Row, Rows

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180), pytest.mark.asyncio(loop_scope="module")]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rows")
    echo.write_project(Rows, folder, SEEN, SENT)
    return folder


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def there_and_back(project: Path) -> AsyncIterator[Callable[[str, Any], Any]]:
    echo.compile_project(project)
    echo.bundle_for_page(project)
    async with echo.echoing(Rows, project) as send:
        yield send


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
async def test_values_come_back_as_they_were_sent(
    there_and_back: Callable[[str, Any], Any], row: Row
) -> None:
    payload = Payload(row.form)
    for value in row.values:
        expected = payload.validate(value)
        received = await there_and_back(row.name, value)
        assert received == expected or repr(received) == repr(expected)
        assert type(received) is type(expected)

import httpx
import pytest


@pytest.fixture
async def stranger(service):
    async with httpx.AsyncClient(base_url=service.url, timeout=30) as plain:
        yield plain


async def test_info_says_what_the_server_can_do(stranger):
    answer = (await stranger.get("/info")).json()

    assert answer["version"]
    assert answer["flags"]["assistants"] is True
    assert answer["flags"]["crons"] is False


async def test_ok_says_that_the_database_answers(stranger):
    answer = await stranger.get("/ok")

    assert (answer.status_code, answer.json()) == (200, {"ok": True})

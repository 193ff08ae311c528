import pytest

from tests.chaos import house


@pytest.fixture(scope="package")
def inside(make_database, tmp_path_factory):
    """Both sides as processes, each on a new database."""
    addresses = house.Addresses(django=make_database(), agent=make_database())
    with house.opened(addresses, tmp_path_factory.mktemp("chaos")) as opened:
        yield opened

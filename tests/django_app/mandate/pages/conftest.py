import pytest
from django.urls import reverse


@pytest.fixture
def page(client, user):
    """Reads pages as somebody who has signed in."""
    client.force_login(user)

    def read(name, *args, **query):
        return client.get(reverse(name, args=args), query)

    return read

"""A project's own templates are taken before Mandate's, and may extend them."""

import pytest
from django.urls import reverse

pytestmark = pytest.mark.django_db

OWN_BASE = """{% extends "mandate/base.html" %}
{% block navigation %}{{ block.super }}<a href="/school/">Our school</a>{% endblock %}
"""

NAMES = ["mandate-runs-page", "mandate-approvals-page", "mandate-agents-page", "mandate-comparisons-page"]


@pytest.fixture
def own_templates(settings, tmp_path):
    """Give the project a folder of templates, with some in it."""

    def write(**files):
        for name, text in files.items():
            path = tmp_path / "mandate" / f"{name}.html"
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        settings.TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": [tmp_path]}]

    return write


@pytest.mark.parametrize("name", NAMES)
def test_a_base_of_the_projects_own_is_under_every_page(own_templates, client, user, name):
    own_templates(base=OWN_BASE)
    client.force_login(user)

    content = client.get(reverse(name)).content.decode()

    assert '<a href="/school/">Our school</a>' in content
    assert 'aria-label="Main"' in content


def test_a_page_of_the_projects_own_stands_in_mandates_place(own_templates, client, admin_user):
    own_templates(operation="{{ figures.waiting }} wait")
    client.force_login(admin_user)

    assert client.get(reverse("mandate-operation-page")).content == b"0 wait"

import csv
import io
import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission
from django.urls import reverse
from django.utils import timezone

from mandate import models
from mandate.pages import charts
from mandate.services import comparisons

pytestmark = pytest.mark.django_db

EVIL = "<script>alert(1)</script>"


@pytest.fixture
def compare(agent, user):
    """Starts a comparison of models, each run of which ended; a model's cost is ten times its name's length."""

    def start(*names, by=user):
        comparison = comparisons.start(agent=agent, input={"topic": "lists"}, models_=names, by=by)
        for run in comparison.runs.all():
            end(run, cost=len(run.model) / 10)
        return comparison

    return start


def end(run, **fields):
    now = timezone.now()
    models.ToolSession.objects.create(
        run=run, epoch=1, token_hash=run.pk, expires_at=now, created_at=now, revoked_at=now
    )
    models.ToolSession.objects.filter(run=run).update(created_at=now - timedelta(seconds=3))
    models.ModelUsage.objects.create(
        run=run, segment=1, model=run.model, calls=2, input_tokens=1000, output_tokens=500, first_token=0.4
    )
    models.Run.objects.filter(pk=run.pk).update(**{"status": "completed", "ended_at": now} | fields)


def text_of(response):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", response.content.decode()))


def test_a_person_sees_their_own_comparisons_only(page, compare, make_user):
    own, other = compare("quick", "thorough"), compare("quick", "thorough", by=make_user())

    listed = page("mandate-comparisons-page").context["page"].object_list

    assert list(listed) == [own]
    assert page("mandate-comparison-page", other.pk).status_code == 404


def test_each_model_has_its_figures_and_leads_to_its_run(page, compare):
    comparison = compare("quick", "thorough")

    response = page("mandate-comparison-page", comparison.pk)

    content = response.content.decode()
    assert "quick" in content
    assert "0.40 s 3.0 s 2 1,000 500 0.8000" in text_of(response)
    for run in comparison.runs.all():
        assert f'href="{reverse("mandate-run-page", args=[run.pk])}"' in content


def test_the_page_leads_to_the_figures_as_csv_and_json(page, compare, client):
    comparison = compare("quick", "thorough")
    content = page("mandate-comparison-page", comparison.pk).content.decode()

    as_csv, as_json = (
        client.get(re.search(rf'href="([^"]+)">{kind}<', content)[1]) for kind in ("CSV", "JSON")
    )

    assert [row["model"] for row in csv.DictReader(io.StringIO(as_csv.content.decode()))] == [
        one["model"] for one in as_json.json()["results"]
    ]


def test_a_picture_says_in_words_what_it_shows(page, compare):
    comparison = compare("quick", "thorough")

    content = page("mandate-comparison-page", comparison.pk).content.decode()

    names = re.findall(r'role="img" aria-labelledby="(\S+) (\S+)"', content)
    assert len({name for pair in names for name in pair}) == 2 * len(names) == 8
    assert '<desc id="money-told">quick: 0.5000; thorough: 0.8000</desc>' in content
    assert "<style" not in content


def test_a_models_name_is_text_in_tables_and_pictures(page, compare):
    content = page("mandate-comparison-page", compare(EVIL, "quick").pk).content.decode()

    assert EVIL not in content
    assert "&lt;script&gt;alert(1)&lt;/script&gt;: 3.0 s" in content


def test_the_longest_bar_is_the_largest_figure_and_the_first_stands_at_the_top():
    bars = [
        charts.Bar(label=label, value=value, shown=str(value))
        for label, value in [("a", 1), ("b", 4), ("c", 0)]
    ]

    svg = charts.of("some", "Some", bars).svg

    rows = re.findall(r'<rect x="[\d.]+" y="([\d.]+)"(?: [rxy]+="0"){2}(?: width="([\d.]+)")?', svg)
    widths = [float(width or 0) for _, width in sorted(rows, key=lambda row: float(row[0]))]
    assert widths == pytest.approx([max(widths) / 4, max(widths), 0])


def test_nothing_is_drawn_of_no_figures():
    assert charts.of("some", "Some", []) is None


def test_a_figure_leads_to_exactly_the_runs_behind_it(page, compare, client):
    compare("quick", "quick-mini")
    content = page("mandate-figures-page").content.decode()

    (link,) = re.findall(r'href="([^"]+of_model=quick(?:&amp;[^"]*)?)"', content)
    runs = client.get(link.replace("&amp;", "&")).context["page"].object_list

    assert [run.model for run in runs] == ["quick"]


def test_figures_are_averages_of_the_runs_a_person_may_see(page, compare, make_user):
    compare("quick", "thorough")
    compare("quick", "thorough", by=make_user())
    run = models.Run.objects.filter(model="quick").first()
    models.Run.objects.filter(pk=run.pk).update(cost=None)

    quick, thorough = page("mandate-figures-page").context["models"]

    assert (quick.model, quick.runs, quick.completed, thorough.runs) == ("quick", 1, 1, 1)
    assert (thorough.seconds, thorough.tokens, thorough.first_token) == (pytest.approx(3, abs=0.1), 1500, 0.4)
    assert float(thorough.cost) == pytest.approx(0.8)


def test_figures_are_narrowed_by_agent_and_time(page, compare, agent):
    compare("quick", "thorough")
    models.Run.objects.filter(model="quick").update(created_at=timezone.now() - timedelta(days=40))

    def shown(**query):
        return [one.model for one in page("mandate-figures-page", **query).context["models"]]

    assert shown() == ["thorough"]
    assert shown(days=0, agent=agent.slug) == ["quick", "thorough"]
    assert shown(days="x", agent="nobody") == ["thorough"]


@pytest.mark.parametrize("name", ["mandate-comparisons-page", "mandate-figures-page"])
def test_more_comparisons_take_no_more_queries(
    page, compare, django_assert_num_queries, django_assert_max_num_queries, name
):
    compare("quick", "thorough")
    page(name)  # a process keeps some answers: it asks once
    with django_assert_max_num_queries(16) as few:
        page(name)
    for number in range(5):
        compare("quick", f"model-{number}")

    with django_assert_num_queries(len(few)):
        page(name)


def test_staff_who_may_see_all_runs_see_all_comparisons(page, compare, user, make_user):
    compare("quick", "thorough", by=make_user())
    user.is_staff = True
    user.save()
    user.user_permissions.add(Permission.objects.get(codename="view_run"))

    assert len(page("mandate-comparisons-page").context["page"].object_list) == 1

import json
from pathlib import Path

import pytest
from django.contrib.auth.models import Group
from django.core.management import CommandError, call_command

from mandate import models

pytestmark = pytest.mark.django_db

FILE = Path(__file__).parents[1] / "checkpointing" / "shop_graph.py"


@pytest.fixture
def run(capsys):
    def call(*arguments, variable="builder"):
        call_command("mandate_run_graph", f"{FILE}:{variable}", *arguments)
        return json.loads(capsys.readouterr().out)

    return call


@pytest.mark.parametrize("variable", ["builder", "compiled", "make"])
def test_a_graph_runs_to_its_question_and_on_from_there(run, variable):
    asked = run("--input", '{"name": "tutors"}', variable=variable)

    answered = run("--thread", asked["thread_id"], "--resume", '"yes"', variable=variable)

    assert list(asked["interrupts"].values()) == [{"question": "Keep tutors?"}]
    assert answered["interrupts"] == {}
    assert (answered["values"]["groups"], answered["values"]["answer"]) == (1, "yes")
    assert answered["values"]["messages"][0]["content"] == "counted"


def test_a_question_may_be_answered_by_its_id(run):
    asked = run("--input", '{"name": "tutors"}')
    (question,) = asked["interrupts"]

    answered = run("--thread", asked["thread_id"], "--resume", json.dumps({question: "no"}))

    assert answered["values"]["answer"] == "no"


def test_a_failed_thread_says_how_it_goes_on_and_does(run):
    with pytest.raises(CommandError, match="nobody to ask about") as failure:
        run("--input", '{"name": ""}', "--thread", "mended")
    assert "--thread mended" in str(failure.value)

    with pytest.raises(CommandError, match="nobody to ask about"):
        run("--thread", "mended")

    assert Group.objects.count() == 1


@pytest.mark.parametrize(
    ("place", "arguments", "said"),
    [
        pytest.param(f"{FILE}:not_a_graph", ["--input", "{}"], "is a str", id="not a graph"),
        pytest.param(f"{FILE}:nothing", ["--input", "{}"], "nothing", id="no variable"),
        pytest.param("no.such.module:graph", ["--input", "{}"], "no.such", id="no module"),
        pytest.param("no_such_file.py:graph", ["--input", "{}"], "no_such_file", id="no file"),
        pytest.param("graph", ["--input", "{}"], "graph", id="no place"),
        pytest.param(f"{FILE}:builder", ["--input", "{"], "not JSON", id="not JSON"),
        pytest.param(f"{FILE}:builder", [], "--input", id="nothing to do"),
    ],
)
def test_what_cannot_be_run_is_said(place, arguments, said):
    with pytest.raises(CommandError, match=said):
        call_command("mandate_run_graph", place, *arguments)

    assert not models.Checkpoint.objects.exists()

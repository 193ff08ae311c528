import json
import uuid

import pytest
from django.core.management import CommandError, call_command

pytestmark = pytest.mark.django_db


@pytest.fixture
def export(capsys):
    def call(*run_ids):
        call_command("mandate_export", *map(str, run_ids))
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    return call


@pytest.fixture
def finished(submitted, agent_service, report):
    run, fake_run = submitted
    agent_service.finish(fake_run, {"result": 7, "messages": [{"type": "ai", "content": "seven"}]})
    report(fake_run)
    return run


def test_a_run_is_exported_with_its_final_state(export, finished, user):
    (run,) = export(finished.pk)

    assert (run["run_id"], run["status"], run["result"]) == (str(finished.pk), "completed", 7)
    assert run["final_state"] == {"result": 7, "messages": [{"type": "ai", "content": "seven"}]}
    assert run["started_by"] == user.get_username()


def test_without_names_all_that_have_ended_are_exported(export, finished, start):
    start()

    assert [run["run_id"] for run in export()] == [str(finished.pk)]


def test_a_run_at_work_is_exported_if_it_is_named(export, start):
    (run,) = export(start().pk)

    assert (run["status"], run["final_state"]) == ("pending", None)


def test_a_run_that_does_not_exist_is_said(export, finished):
    with pytest.raises(CommandError, match="There are no runs"):
        export(finished.pk, uuid.uuid4())


def test_many_runs_take_as_many_queries_as_few(export, start, django_assert_num_queries):
    runs = [start() for _ in range(5)]

    with django_assert_num_queries(4):
        assert len(export(*(run.pk for run in runs))) == 5

import hashlib
import uuid

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.db import transaction
from django.utils import timezone

from mandate import exceptions, signals, testing
from mandate import models as mandate_models
from mandate.models.run import ENDED
from mandate.services import runs
from practice import chains, course, models, selectors, services
from shared_schemas.problems import ErrorCode
from shared_schemas.runs import RunStatus

DOUBLE = "def double(number):\n    return 2 * number\n"
TASKS = {"tasks": [{"title": f"Task {name}", "text": "Write a function that doubles."} for name in "ab"]}


@pytest.fixture
def teacher(db):
    course.load(default_model="gpt-4.1-mini")
    person = get_user_model().objects.create_user("teacher")
    person.user_permissions.add(Permission.objects.get(codename="add_task"))
    return person


@pytest.fixture
def chain(teacher):
    return chains.start(module=models.Module.objects.get(slug="functions"), by=teacher, count=2)


@pytest.fixture
def draft(post):
    """Let the first agent draft two tasks."""

    def add(chain):
        run = runs_of(chain, "conditions").get()
        answer = post(run, "add_tasks", TASKS | {"module_id": chain.module_id})
        return [task["task_id"] for task in answer.result["tasks"]]

    return add


@pytest.fixture
def post():
    """Call a tool in a run that a worker has begun; of a refusal, return the code."""

    def call(run, tool, arguments):
        with transaction.atomic():
            runs.begin(runs.locked(run.pk))
        run.refresh_from_db()
        try:
            return testing.call_tool(tool, arguments, run=run)
        except exceptions.MandateError as refused:
            return refused.code

    return call


def runs_of(chain, kind):
    steps = models.ChainStep.objects.filter(chain=chain, kind=kind, run__isnull=False)
    return mandate_models.Run.objects.filter(pk__in=steps.values("run")).order_by("created_at")


@transaction.atomic
def end(run, status=RunStatus.COMPLETED):
    run = runs.locked(run.pk)
    if run.status == RunStatus.PENDING:
        runs.begin(run)
    runs.move(run, status)


def test_three_agents_write_one_after_the_other_each_with_its_own_account(chain, draft):
    task_ids = draft(chain)

    end(runs_of(chain, "conditions").get())
    for run in runs_of(chain, "tests"):
        end(run)

    solving = list(runs_of(chain, "solution"))
    assert [run.input["task_id"] for run in solving] == task_ids
    accounts = {run.agent.user for kind in chains.AGENTS for run in runs_of(chain, kind)}
    assert {account.username for account in accounts} == {
        "agent-practice-conditions",
        "agent-practice-tests",
        "agent-practice-solution",
    }


def test_the_next_runs_are_there_in_the_transaction_that_ends_the_one_before(chain, draft):
    draft(chain)
    with transaction.atomic():
        end(runs_of(chain, "conditions").get())
        begun = runs_of(chain, "tests").count()
        transaction.set_rollback(True)

    conditions = runs_of(chain, "conditions").get()
    assert (begun, runs_of(chain, "tests").count()) == (2, 0)
    assert conditions.status == RunStatus.RUNNING


def test_an_end_that_is_told_twice_begins_nothing_twice(chain, draft):
    draft(chain)
    run = runs_of(chain, "conditions").get()
    end(run)

    with transaction.atomic():
        signals.run_ended.send(mandate_models.Run, run=runs.locked(run.pk))

    assert runs_of(chain, "tests").count() == 2


def test_nothing_follows_a_run_that_failed_until_it_goes_on_and_completes(chain, draft):
    draft(chain)
    run = runs_of(chain, "conditions").get()
    end(run, RunStatus.FAILED)
    assert not runs_of(chain, "tests").exists()

    runs.resume(run.pk)
    end(run)

    assert runs_of(chain, "tests").count() == 2


@pytest.fixture
def solve(chain, draft, post):
    """Let the chain go as far as a solution of its first task, in a round, whose verdict is given."""

    def solved(*, passed):
        steps = chain.steps.filter(kind="solution").order_by("-round", "pk")
        if not steps.exists():
            draft(chain)
            end(runs_of(chain, "conditions").get())
        for run in runs_of(chain, "tests").exclude(status="completed"):
            tests = [{"input": "double(2)", "expected": 4 if passed else 5}]
            post(run, "add_task_tests", {"task_id": run.input["task_id"], "tests": tests})
            end(run)
        step = steps.first()
        post(step.run, "add_task_solution", {"task_id": step.task_id, "code": DOUBLE})
        post(step.run, "verify_task", {"task_id": step.task_id})
        end(step.run)
        return step.task

    return solved


def test_a_verdict_against_the_tests_goes_back_once_to_who_wrote_them(chain, solve, post):
    task = solve(passed=False)
    (again,) = chain.steps.filter(kind="tests", round=2)
    read = post(again.run, "read_task", {"task_id": task.pk})
    solve(passed=True)

    assert again.task == task
    assert [(failure["input"], failure["expected"]) for failure in read.result["failures"]] == [
        ("double(2)", 5)
    ]
    assert [step.task.verified for step in chain.steps.filter(kind="solution", round=2)] == [True]


def test_what_fails_in_both_rounds_is_left_to_people_with_its_failing_case(chain, solve):
    solve(passed=False)

    task = solve(passed=False)

    assert set(chain.steps.values_list("round", flat=True)) == {1, 2}
    assert [failure["actual"] for failure in task.verdict["failures"]] == [4]


def test_a_task_that_is_verified_is_not_written_again(chain, solve):
    solve(passed=True)

    assert not chain.steps.filter(round=2).exists()


@pytest.fixture
def questions(chain, draft, post):
    """Let the chain go as far as its questions, and return them: the run of each task waits for a person."""
    draft(chain)
    end(runs_of(chain, "conditions").get())
    for run in runs_of(chain, "tests"):
        tests = [{"input": "double(2)", "expected": 4}]
        post(run, "add_task_tests", run.input | {"tests": tests})
        end(run)
    for run in runs_of(chain, "solution"):
        post(run, "add_task_solution", run.input | {"code": DOUBLE})
        post(run, "verify_task", run.input)
        post(run, "publish_task", run.input)
        mandate_models.Run.objects.filter(pk=run.pk).update(agent_run_id=uuid.uuid4())
        end(run, RunStatus.AWAITING_APPROVAL)
    mandate_models.Approval.objects.update(interrupt_id="asked")
    return list(mandate_models.Approval.objects.order_by("created_at"))


@pytest.fixture
def editor(db):
    return get_user_model().objects.create_superuser("editor")


def status_of(chain):
    return selectors.status_of(selectors.chains_of(chain.started_by).get(pk=chain.pk))


def test_nothing_of_a_chain_is_published_before_a_person_says_so(chain, questions):
    asked = [question.arguments["task_id"] for question in questions]

    tasks = models.Task.objects.filter(pk__in=asked)
    assert [(task.verified, task.active) for task in tasks] == [(True, False)] * 2
    assert status_of(chain) == RunStatus.AWAITING_APPROVAL


def test_the_questions_of_a_chain_are_decided_in_any_order_each_for_itself(chain, questions, editor):
    testing.decide(questions[1].pk, by=editor)
    between = status_of(chain)
    testing.decide(questions[0].pk, "reject", by=editor, comment="One is enough.")

    shown = {task.pk: task.active for task in models.Task.objects.all()}
    assert [shown[question.arguments["task_id"]] for question in questions] == [False, True]
    assert (between, status_of(chain)) == (RunStatus.AWAITING_APPROVAL, RunStatus.RUNNING)


def test_a_question_is_answered_also_when_its_draft_was_published_on_its_own_page(chain, questions, editor):
    task = models.Task.objects.get(pk=questions[0].arguments["task_id"])
    services.publish(task, by=editor, changes={"title": "Twice"})

    decided = testing.decide(questions[0].pk, by=editor)

    task.refresh_from_db()
    assert (decided.status, task.active, task.title) == ("approved", True, "Twice")
    assert decided.run.status == RunStatus.PENDING


def test_what_people_rejected_is_not_published_by_an_old_question(chain, questions, editor):
    task = models.Task.objects.get(pk=questions[0].arguments["task_id"])
    services.reject(task, by=editor)

    with pytest.raises(exceptions.ToolRejected):
        testing.decide(questions[0].pk, by=editor)

    testing.decide(questions[0].pk, "reject", by=editor)
    task.refresh_from_db()
    assert not task.active


def test_a_chain_goes_on_by_itself_after_the_decisions(chain, questions, editor):
    for question in questions:
        testing.decide(question.pk, by=editor)
    begun = [run.status for run in runs_of(chain, "solution")]
    for run in runs_of(chain, "solution"):
        end(run)

    assert begun == [RunStatus.PENDING] * 2
    assert status_of(chain) == RunStatus.COMPLETED
    assert not chain.steps.filter(round=2).exists()


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        pytest.param("awaiting_approval", "running", "awaiting_approval", id="a question before work"),
        pytest.param("pending", "failed", "running", id="work before a failure"),
        pytest.param("failed", "completed", "failed", id="a failure before an end"),
        pytest.param("cancelled", "completed", "cancelled", id="a cancel before an end"),
    ],
)
def test_a_chain_stands_as_its_most_pressing_run(chain, draft, first, second, expected):
    draft(chain)
    end(runs_of(chain, "conditions").get())
    for run, status in zip(runs_of(chain, "tests"), (first, second), strict=True):
        ended_at = timezone.now() if status in ENDED else None
        mandate_models.Run.objects.filter(pk=run.pk).update(status=status, ended_at=ended_at)

    assert status_of(chain) == expected


def test_a_chain_whose_next_step_was_refused_has_failed(chain, draft):
    draft(chain)
    mandate_models.Agent.objects.filter(slug=course.TESTS).update(is_paused=True)
    end(runs_of(chain, "conditions").get())

    assert status_of(chain) == RunStatus.FAILED


def test_what_cannot_be_started_does_not_undo_what_ended_and_is_started_later(chain, draft):
    draft(chain)
    mandate_models.Agent.objects.filter(slug=course.TESTS).update(is_paused=True)
    end(runs_of(chain, "conditions").get())
    reasons = list(chain.steps.filter(kind="tests").values_list("refused", flat=True))
    mandate_models.Agent.objects.update(is_paused=False)

    started = chains.go_on(chain)

    assert ["paused" in reason for reason in reasons] == [True, True]
    assert (started, runs_of(chain, "tests").count()) == (2, 2)


def test_a_chain_that_may_not_be_started_is_not_kept(teacher):
    teacher.user_permissions.clear()
    person = get_user_model().objects.get(pk=teacher.pk)

    with pytest.raises(exceptions.RequestRefused) as caught:
        chains.start(module=models.Module.objects.get(slug="functions"), by=person)

    assert caught.value.code is ErrorCode.FORBIDDEN
    assert not models.Chain.objects.exists()


def test_agents_of_one_team_work_on_each_others_drafts(chain, draft, post):
    task_id = draft(chain)[0]
    end(runs_of(chain, "conditions").get())
    run = runs_of(chain, "tests").first()
    tests = [{"input": "double(2)", "expected": 4}]

    read = post(run, "read_task", {"task_id": task_id})
    kept = post(run, "add_task_tests", {"task_id": task_id, "tests": tests})

    assert read.result["title"] == "Task a"
    assert kept.status == "succeeded"


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"ai_status": "approved"}, id="decided about"),
        pytest.param({"active": True, "verified": True, "verdict": {}}, id="published"),
        pytest.param({"ai_user": None}, id="made by a person"),
    ],
)
def test_what_is_no_draft_of_a_colleague_is_not_shared(chain, draft, post, change):
    task_id = draft(chain)[0]
    end(runs_of(chain, "conditions").get())
    models.Task.objects.filter(pk=task_id).update(**change)

    answer = post(runs_of(chain, "tests").first(), "read_task", {"task_id": task_id})

    assert answer == ErrorCode.REJECTED


def test_agents_outside_the_team_see_nothing_of_it(chain, draft, post, teacher):
    task_id = draft(chain)[0]
    solution = mandate_models.Agent.objects.get(slug=course.SOLUTION)
    solution.user.groups.clear()
    run = testing.start_run(solution, by=teacher)

    answer = post(run, "read_task", {"task_id": task_id})

    assert answer == ErrorCode.REJECTED


def test_a_person_in_the_team_shares_nothing(chain, draft, post, teacher):
    teacher.groups.set(mandate_models.Agent.objects.get(slug=course.TESTS).user.groups.all())
    mine = models.Task.objects.create(module=chain.module, title="Mine", text="x", ai_user=teacher)
    draft(chain)
    end(runs_of(chain, "conditions").get())

    answer = post(runs_of(chain, "tests").first(), "read_task", {"task_id": mine.pk})

    assert answer == ErrorCode.REJECTED


def test_a_person_starts_a_chain_over_rest_and_sees_how_far_it_is(client, teacher, draft):
    client.force_login(teacher)
    module = models.Module.objects.get(slug="functions")
    started = client.post(
        "/api/practice/chains/", {"module_id": module.pk, "count": 2}, content_type="application/json"
    )
    chain = models.Chain.objects.get()
    draft(chain)
    end(runs_of(chain, "conditions").get())

    seen = client.get(f"/api/practice/chains/{started.json()['chain_id']}/").json()

    assert started.status_code == 202
    assert [step["kind"] for step in seen["steps"]] == ["conditions", "tests", "tests"]
    assert [step["status"] for step in seen["steps"]] == ["completed", "pending", "pending"]


@pytest.fixture
def post_chain(client, teacher):
    """Ask for a chain over REST, under a key."""
    client.force_login(teacher)
    module = models.Module.objects.get(slug="functions")

    def post(key, **more):
        body = {"module_id": module.pk, "count": 2} | more
        return client.post(
            "/api/practice/chains/", body, content_type="application/json", headers={"Idempotency-Key": key}
        )

    return post


def test_the_same_request_under_the_same_key_is_one_chain(post_chain):
    first, second = (post_chain("one-lesson") for _ in range(2))

    assert first.json() == second.json()
    assert (first.status_code, second.status_code) == (202, 202)
    assert "Idempotent-Replayed" not in first
    assert second["Idempotent-Replayed"] == "true"
    assert models.Chain.objects.count() == mandate_models.Run.objects.count() == 1


@pytest.mark.parametrize(
    "more",
    [
        pytest.param({"count": 3}, id="count"),
        pytest.param({"student_id": 1}, id="student"),
        pytest.param({"model": "gpt-4.1"}, id="model"),
    ],
)
def test_another_request_under_the_same_key_is_refused_as_of_a_run(post_chain, more):
    student = models.StudentProfile.objects.first()
    post_chain("one-lesson")

    refused = post_chain("one-lesson", **more | ({"student_id": student.pk} if "student_id" in more else {}))

    assert (refused.status_code, refused.json()["code"]) == (422, "idempotency_key_reused")
    assert models.Chain.objects.count() == 1


def test_a_key_means_nothing_to_other_people(post_chain, client, teacher):
    first = post_chain("one-lesson")
    other = get_user_model().objects.create_user("other")
    other.user_permissions.set(teacher.user_permissions.all())
    client.force_login(other)

    second = post_chain("one-lesson")

    assert first.json()["chain_id"] != second.json()["chain_id"]


def test_a_key_is_of_its_request_whatever_runs_have_had(post_chain, teacher):
    digest = hashlib.sha256(b"one-lesson").hexdigest()
    given = {"module_id": models.Module.objects.get(slug="functions").pk, "count": 2}
    key = f"practice-chain-request:{digest}"
    runs.start(agent=course.CONDITIONS, input=given, by=teacher, idempotency_key=key)

    refused = post_chain("one-lesson")

    assert (refused.status_code, refused.json()["code"]) == (422, "idempotency_key_reused")
    assert not models.Chain.objects.exists()


@pytest.mark.parametrize(("key", "status"), [("k" * 200, 202), ("short", 400), ("k" * 201, 400)])
def test_a_key_has_the_form_of_every_key(post_chain, key, status):
    assert post_chain(key).status_code == status


def test_a_person_reads_over_rest_what_they_are_asked(client, teacher, chain, questions):
    client.force_login(teacher)

    seen = client.get(f"/api/practice/chains/{chain.pk}/").json()

    solving = [step for step in seen["steps"] if step["kind"] == "solution"]
    assert seen["status"] == "awaiting_approval"
    assert [step["approvals"] for step in solving] == [[str(question.pk)] for question in questions]
    assert [(step["verified"], step["published"]) for step in solving] == [(True, False)] * 2


def test_a_chain_of_another_person_is_not_found(client, chain):
    client.force_login(get_user_model().objects.create_user("other"))

    assert client.get(f"/api/practice/chains/{chain.pk}/").status_code == 404


@pytest.mark.parametrize("body", [{}, {"module_id": 1, "count": 11}, {"module_id": 1, "more": 1}])
def test_a_request_that_does_not_fit_is_refused(client, teacher, body):
    client.force_login(teacher)

    answer = client.post("/api/practice/chains/", body, content_type="application/json")

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")

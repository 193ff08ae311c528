import httpx
import pytest

from stack import assembly, chain, compare, job, jobs, research, sql

JOBS = {
    "chain": chain.do,
    "author": job.do,
    "sql": sql.do,
    "compare": compare.do,
    "research": research.do,
}


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        pytest.param({}, chain.do, id="none"),
        pytest.param({"JOB": ""}, chain.do, id="empty"),
        *(pytest.param({"JOB": name}, do, id=name) for name, do in JOBS.items()),
    ],
)
def test_a_job_is_chosen_by_its_name(environment, expected):
    assert jobs.chosen(environment) is expected


def test_a_job_that_there_is_not_is_refused_with_those_there_are():
    with pytest.raises(assembly.StackError, match="author, chain, compare, research, sql"):
        jobs.chosen({"JOB": "laundry"})


def answered(status, body, kind):
    request = httpx.Request("POST", "http://django.test/api/agents/runs/")
    return httpx.Response(status, json=body, headers={"content-type": kind}, request=request)


@pytest.mark.parametrize(
    ("answer", "told", "blamed"),
    [
        pytest.param(
            answered(422, {"detail": "There is no model 'x'."}, job.PROBLEM),
            "answered 422: There is no model 'x'.",
            None,
            id="refused",
        ),
        pytest.param(
            answered(500, {"oh": "no"}, "text/html"), 'answered 500: {"oh":"no"}', "django", id="broken"
        ),
    ],
)
def test_an_answer_that_was_not_hoped_for_is_told_as_it_was_meant(answer, told, blamed):
    with pytest.raises(job.JobError) as caught:
        job.expect(answer, 202)

    assert str(caught.value) == f"POST /api/agents/runs/ {told}"
    assert caught.value.blamed == blamed

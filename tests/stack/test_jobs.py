import pytest

from stack import assembly, chain, compare, job, jobs, research, sql

JOBS = {
    "python": job.do,
    "sql": sql.do,
    "chain": chain.do,
    "compare": compare.do,
    "research": research.do,
}


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        pytest.param({}, job.do, id="none"),
        pytest.param({"JOB": ""}, job.do, id="empty"),
        *(pytest.param({"JOB": name}, do, id=name) for name, do in JOBS.items()),
    ],
)
def test_a_job_is_chosen_by_its_name(environment, expected):
    assert jobs.chosen(environment) is expected


def test_a_job_that_there_is_not_is_refused_with_those_there_are():
    with pytest.raises(assembly.StackError, match="chain, compare, python, research, sql"):
        jobs.chosen({"JOB": "laundry"})

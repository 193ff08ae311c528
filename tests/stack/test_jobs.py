import pytest

from stack import assembly, job, jobs, research


@pytest.mark.parametrize(
    ("environment", "expected"),
    [({}, job.do), ({"JOB": ""}, job.do), ({"JOB": "python"}, job.do), ({"JOB": "research"}, research.do)],
    ids=["none", "empty", "python", "research"],
)
def test_a_job_is_chosen_by_its_name(environment, expected):
    assert jobs.chosen(environment) is expected


def test_a_job_that_there_is_not_is_refused_with_those_there_are():
    with pytest.raises(assembly.StackError, match="python, research"):
        jobs.chosen({"JOB": "laundry"})

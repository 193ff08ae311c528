import pytest
from django.db import connection

from mandate import testing
from mandate.models import Agent
from practice import course, models, search, selectors


@pytest.fixture
def lessons(db):
    course.load(default_model="gpt-4.1-mini")
    return models.Module.objects.all()


@pytest.fixture
def published(make_task):
    verdict = {"passed": True, "tests": 1, "failures": [], "isolation": "limits"}
    return make_task(
        title="Count the kestrels", text="Use a loop.", verdict=verdict, verified=True, active=True
    )


def find(words, limit=5):
    return search.find(words, lessons=selectors.lessons(), tasks=selectors.published_tasks(), limit=limit)


def test_a_question_finds_the_lesson_that_answers_it(lessons):
    hits = find("How do I join two tables in SQL?")

    assert hits[0].record.slug == "sql-joins"
    assert "join" in hits[0].snippet.lower()
    assert hits == sorted(hits, key=lambda hit: -hit.rank)


def test_words_of_other_forms_are_found(lessons):
    assert find("joining")[0].record.slug == "sql-joins"


def test_a_title_counts_more_than_a_text(module):
    models.Module.objects.create(slug="b", title="Other", language="python", body="Loops.", published=True)

    assert [hit.record.title for hit in find("loops")] == ["Loops", "Other"]


@pytest.mark.parametrize("words", ["qwertz", "the of and", "?!", "' | ' & :*", "\\ <-> !"])
def test_nothing_is_found_for_what_is_nowhere(lessons, words):
    assert find(words) == []


def test_no_more_is_found_than_asked_for(lessons):
    assert len(find("a list of loops and functions joined", limit=2)) == 2


def test_a_published_task_is_found_with_its_lesson(published):
    answer = testing.call_tool("search_course", {"query": "kestrels"})

    (record,) = answer.result["records"]
    assert record["ref"] == f"task-{published.pk}"
    assert record["lesson"] == "Loops"


def test_drafts_and_unpublished_lessons_are_not_found(make_task, module):
    make_task(title="Count the kestrels")
    models.Module.objects.update(published=False)

    answer = testing.call_tool("search_course", {"query": "kestrels loops"})

    assert answer.result == {"records": []}


def test_tasks_of_an_unpublished_lesson_are_not_found(published):
    models.Module.objects.update(published=False)

    assert find("kestrels") == []


@pytest.mark.parametrize("table", ["practice_module", "practice_task"])
def test_the_search_reads_its_index(lessons, table):
    vectors = {
        "practice_module": (models.Module, models.LESSON_VECTOR),
        "practice_task": (models.Task, models.TASK_VECTOR),
    }
    model, vector = vectors[table]
    found = model.objects.annotate(vector=vector).filter(vector=search._query("loops"))
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        plan = found.order_by().explain()

    assert f"{table}_search" in plan


def test_the_research_agent_may_only_search(lessons):
    agent = Agent.objects.get(slug="research")

    assert agent.tools == ["search_course"]
    assert agent.user.username == "agent-research"

import json
import sqlite3
from contextlib import closing

import httpx
import pytest
from langgraph.checkpoint.memory import InMemorySaver
from pydantic import BaseModel, JsonValue, SecretStr

from agent_service import checkpointing, models
from agent_service.graphs import registry
from agent_service.testing import django, model_server, scripts
from agent_service.tools import binding, client
from shared_schemas import keys, tools

LESSONS = {1: "Lists and loops", 2: "Functions", 3: "Joins: asking several tables at once"}
SQL_LESSONS = {3}


class ReadLesson(BaseModel):
    """Read a lesson."""

    module_id: int


class ReadProfile(BaseModel):
    """Read a profile."""

    student_id: int


class TaskDraft(BaseModel):
    title: str
    text: str
    starting_code: str = ""


class AddTasks(BaseModel):
    """Draft tasks."""

    module_id: int
    tasks: list[TaskDraft]


class TaskTest(BaseModel):
    input: str
    expected: JsonValue


class AddTaskTests(BaseModel):
    """Keep a task's tests."""

    task_id: int
    tests: list[TaskTest]


class SqlTable(BaseModel):
    table: str
    rows: list[list[JsonValue]]


class SqlTest(BaseModel):
    tables: list[SqlTable]
    expected: list[list[JsonValue]]
    in_order: bool = False


class AddSqlTests(BaseModel):
    """Keep the tables and tests of a task in SQL."""

    task_id: int
    create: str
    tests: list[SqlTest]


class AddTaskSolution(BaseModel):
    """Keep a task's solution."""

    task_id: int
    code: str


class TaskId(BaseModel):
    """Name a task."""

    task_id: int


class Course:
    """What the practice tools keep, in memory."""

    def __init__(self):
        self.drafts: dict[int, TaskDraft] = {}
        self.lessons: dict[int, int] = {}
        self.tests: dict[int, list[TaskTest] | list[SqlTest]] = {}
        self.tables: dict[int, str] = {}
        self.solutions: dict[int, str] = {}
        self.failures: dict[int, list] = {}
        self.published: list[int] = []
        self.body = "It costs $5."

    def offer(self, subject):
        subject.offer("read_lesson", ReadLesson, self.read_lesson, effect=tools.Effect.READ)
        subject.offer("read_profile", ReadProfile, self.read_profile, effect=tools.Effect.READ)
        subject.offer("read_task", TaskId, self.read_task, effect=tools.Effect.READ)
        subject.offer("add_tasks", AddTasks, self.add_tasks, return_direct=True)
        subject.offer("add_task_tests", AddTaskTests, self.add_task_tests, return_direct=True)
        subject.offer("add_sql_tests", AddSqlTests, self.add_sql_tests, return_direct=True)
        subject.offer("add_task_solution", AddTaskSolution, self.add_task_solution, return_direct=True)
        subject.offer("verify_task", TaskId, self.verify_task)
        subject.offer("publish_task", TaskId, self.publish_task, needs_approval=True)

    def have(self, title, *, module_id, tests=()):
        """Keep a draft that another agent made."""
        task_id = 100 + len(self.drafts)
        self.drafts[task_id] = TaskDraft(title=title, text="Do it.")
        self.lessons[task_id] = module_id
        self.tests[task_id] = [TaskTest.model_validate(test) for test in tests]
        return task_id

    def read_lesson(self, call):
        title = LESSONS[call.module_id]
        language = "sql" if call.module_id in SQL_LESSONS else "python"
        return {"module_id": call.module_id, "title": title, "language": language, "body": self.body}

    def read_profile(self, call):
        return {"name": "Mira", "level": "beginner", "goals": "Figures.", "notes": "Forgets to return."}

    def read_task(self, call):
        task = self.drafts[call.task_id]
        tests = [test.model_dump(mode="json") for test in self.tests.get(call.task_id, [])]
        if tests and call.task_id in self.tables:
            tests = [{"create": self.tables[call.task_id], **test} for test in tests]
        module_id = self.lessons[call.task_id]
        return {
            "module_id": module_id,
            "title": task.title,
            "text": task.text,
            "tests": tests,
            "failures": self.failures.get(call.task_id, []),
        }

    def add_tasks(self, call):
        added = []
        for task in call.tasks:
            task_id = 100 + len(self.drafts)
            self.drafts[task_id] = task
            self.lessons[task_id] = call.module_id
            added.append({"task_id": task_id, "title": task.title})
        return {"tasks": added}

    def add_task_tests(self, call):
        self.tests[call.task_id] = call.tests
        self.failures.pop(call.task_id, None)
        return {"task_id": call.task_id, "tests": len(call.tests)}

    def add_sql_tests(self, call):
        self.tables[call.task_id] = call.create
        return self.add_task_tests(call)

    def add_task_solution(self, call):
        self.solutions[call.task_id] = call.code
        return {"task_id": call.task_id}

    def verify_task(self, call):
        failures = [fault for test in self.tests[call.task_id] if (fault := self.fault(call.task_id, test))]
        self.failures[call.task_id] = failures
        return {"task_id": call.task_id, "passed": not failures, "failures": failures}

    def fault(self, task_id, test):
        return self.sql_fault(task_id, test) if task_id in self.tables else self.python_fault(task_id, test)

    def sql_fault(self, task_id, test):
        with closing(sqlite3.connect(":memory:")) as database:
            database.executescript(self.tables[task_id])
            for table in test.tables:
                for row in table.rows:
                    database.execute(f"INSERT INTO {table.table} VALUES ({', '.join('?' * len(row))})", row)
            rows = [list(row) for row in database.execute(self.solutions[task_id])]
        order = list if test.in_order else sorted
        return None if order(rows) == order(test.expected) else {"message": f"gave {rows!r}"}

    def python_fault(self, task_id, test):
        names = {}
        try:
            exec(self.solutions[task_id], names)
            actual = eval(test.input, names)
        except (IndexError, ValueError) as error:
            return {"input": test.input, "message": repr(error)}
        expected = json.loads(json.dumps(test.expected))
        return None if actual == expected else {"input": test.input, "message": f"gave {actual!r}"}

    def publish_task(self, call):
        self.published.append(call.task_id)
        return {"task_id": call.task_id, "title": self.drafts[call.task_id].title}


@pytest.fixture
def course():
    return Course()


@pytest.fixture
def signing_key():
    return keys.parse_signing(keys.generate())


@pytest.fixture
def subject(course, signing_key):
    fake = django.FakeDjango(trusted=keys.parse_trusted([signing_key.public_text()]))
    course.offer(fake)
    return fake


@pytest.fixture
async def session(subject, signing_key):
    transport = httpx.ASGITransport(subject.app())
    async with client.open_client(
        django_url="http://django.test", signing_key=signing_key, transport=transport
    ) as opened:
        yield await opened.open_session(run_id=subject.start_run(), thread_id="thread", epoch=1)


@pytest.fixture
def provider():
    return model_server.ModelServer(script=scripts.bundled())


@pytest.fixture
async def catalogue(provider):
    async with model_server.serving(provider) as url:
        settings = models.Provider(api_key=SecretStr("none"), base_url=url, max_retries=0)
        opened = models.Catalogue(providers={"openai": settings})
        yield opened
        await opened.aclose()


@pytest.fixture
async def graph_named(session, catalogue):
    """Build a bundled graph; `only` narrows the mandate's tools."""

    async def build(name, model="gpt-4.1", *, only=None):
        graphs = await registry.load()
        offered = [tool for tool in session.tools if only is None or tool.name in only]
        graph = await graphs.build(name, tools=binding.bind(offered), model=catalogue.get(model))
        return graph.copy({"checkpointer": InMemorySaver(serde=checkpointing.serializer())})

    return build


@pytest.fixture
async def author(graph_named):
    async def build(model="gpt-4.1"):
        return await graph_named("practice_author", model)

    return build


@pytest.fixture
def run(session):
    async def run_graph(graph, given, thread_id="thread"):
        config = {"configurable": {"thread_id": thread_id}, "recursion_limit": 100}
        return await graph.ainvoke(given, config, context={"session": session}, durability="sync")

    return run_graph

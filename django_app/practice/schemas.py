"""What the practice tools take and answer; every description is read by a model."""

import ast
from enum import StrEnum
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue

from mandate import tools
from shared_schemas.runs import RunStatus

MAX_TASKS = 10
MAX_TESTS = 20
MAX_ROWS = 200

ModuleId = Annotated[int, Field(ge=1, description="The lesson's id.")]
StudentId = Annotated[int, Field(ge=1, description="The student's id.")]
TaskId = Annotated[int, Field(ge=1, description="The task's id, as 'add_tasks' answered it.")]
Code = Annotated[str, Field(max_length=20_000)]
Cell = str | int | float | bool | None


def _is_expression(text: str) -> str:
    try:
        ast.parse(text, mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f"It is no Python expression: {error}") from None
    return text


Expression = Annotated[str, Field(min_length=1, max_length=2000), AfterValidator(_is_expression)]


class Answer(BaseModel):
    """Base of what a tool answers."""

    model_config = ConfigDict(frozen=True)


class ReadLesson(tools.Schema):
    """Which lesson to read."""

    module_id: ModuleId


class Lesson(Answer):
    """A published lesson of the course."""

    module_id: ModuleId
    slug: str = Field(description="The lesson's short name.")
    title: str = Field(description="The lesson's title.")
    language: str = Field(description="What the lesson teaches: 'python' or 'sql'.")
    body: str = Field(description="The lesson as students read it, in Markdown.")


class SearchCourse(tools.Schema):
    """What to look for in the course."""

    query: str = Field(
        min_length=1,
        max_length=1000,
        description="The question, or some words of it: any of them is looked for, in titles before texts.",
    )
    limit: int = Field(default=5, ge=1, le=20, description="How many records to answer at most.")


class Kind(StrEnum):
    """What kind of record was found."""

    LESSON = "lesson"
    TASK = "task"


class Found(Answer):
    """One record of the course that was found."""

    ref: str = Field(description="What to cite the record by: its kind and its id.")
    kind: Kind = Field(description="Whether it is a lesson or a task.")
    id: int = Field(description="The record's id.")
    title: str = Field(description="The record's title.")
    lesson: str = Field(description="The title of the lesson that it is, or belongs to.")
    rank: float = Field(description="How well it fits: more is better.")
    snippet: str = Field(description="The places of its text that the words are in.")


class CourseFound(Answer):
    """What was found, the best first."""

    records: list[Found] = Field(description="Empty, if nothing was.")


class ReadProfile(tools.Schema):
    """Which student to read about."""

    student_id: StudentId


class Profile(Answer):
    """A student that tasks are written for."""

    student_id: StudentId
    name: str = Field(description="What the student is called in tasks.")
    level: str = Field(description="How far the student is: 'beginner', 'intermediate' or 'advanced'.")
    goals: str = Field(description="What the student wants to learn, and for what.")
    notes: str = Field(description="What a teacher noticed: strengths, gaps, interests.")


class ReadTask(tools.Schema):
    """Which task to read."""

    task_id: TaskId


class TaskRead(Answer):
    """A task as it is now; its solution is not shown."""

    task_id: TaskId
    module_id: ModuleId
    language: str = Field(description="What its lesson teaches: 'python' or 'sql'.")
    title: str = Field(description="The task's title.")
    text: str = Field(description="What the student has to do, in Markdown.")
    starting_code: str = Field(description="What the student's editor holds at first.")
    tests: list[JsonValue] = Field(
        description="Its tests, each with what 'add_task_tests' or 'add_sql_tests' was given; empty at first."
    )
    failures: list[JsonValue] = Field(
        description="What was wrong when its solution ran against these tests; empty if nothing was, or none ran."
    )


class TaskDraft(tools.Schema):
    """One practice task before it has tests and a solution."""

    title: str = Field(min_length=3, max_length=120, description="A short title, without a number.")
    text: str = Field(
        min_length=20,
        max_length=4000,
        description=(
            "What the student has to do, in Markdown. In Python: the name and parameters of the function to "
            "write, what it returns, and one example. In SQL: the tables, and the columns and rows to show."
        ),
    )
    starting_code: Code = Field(
        default="",
        description="What the student's editor holds at first: the function's first line; nothing in SQL.",
    )


class AddTasks(tools.Schema):
    """Draft tasks for one lesson."""

    module_id: ModuleId
    tasks: list[TaskDraft] = Field(
        min_length=1, max_length=MAX_TASKS, description="The tasks, from the easiest to the hardest."
    )


class AddedTask(Answer):
    """A draft that was kept."""

    task_id: TaskId
    title: str = Field(description="The draft's title.")


class TasksAdded(Answer):
    """The drafts that were kept, in the order they were given."""

    tasks: list[AddedTask] = Field(description="One entry for each draft.")


class TaskTest(tools.Schema):
    """One check of a solution."""

    input: str = Field(
        min_length=1,
        max_length=2000,
        description="A Python expression that calls the function, such as 'total([1, 2, 3])'.",
    )
    expected: JsonValue = Field(
        description='The value the expression must have, as JSON: 6, "text", [1, 2], null, true.'
    )


class PropertyTest(tools.Schema):
    """One check of a solution whose right answers are many, such as a shuffled list."""

    input: Expression = Field(
        description="A Python expression that calls the function, such as 'shuffled([1, 2])'."
    )
    holds: Expression = Field(
        description=(
            "A Python expression over `result`, the value of the input as JSON; it must be true, "
            "such as 'sorted(result) == [1, 2]'."
        )
    )


class AddTaskTests(tools.Schema):
    """The tests of one Python task; they replace any earlier ones."""

    task_id: TaskId
    tests: list[TaskTest | PropertyTest] = Field(
        min_length=1,
        max_length=MAX_TESTS,
        description="Usual cases first, then the edges: nothing, one, repeats, negatives.",
    )


class SqlTable(tools.Schema):
    """The rows of one table."""

    table: str = Field(min_length=1, max_length=63, description="The table's name.")
    rows: list[list[Cell]] = Field(
        max_length=MAX_ROWS, description="Its rows: a value for every column, in the columns' order."
    )


class SqlTest(tools.Schema):
    """One check of a query: what the tables hold, and what the query must give."""

    tables: list[SqlTable] = Field(
        max_length=20, description="The rows of the tables; a table that is not named is empty."
    )
    expected: list[list[Cell]] = Field(
        max_length=MAX_ROWS, description="The rows that the query must give, each with its values in order."
    )
    in_order: bool = Field(
        default=False, description="Whether the task asks for the rows in this order and no other."
    )


class AddSqlTests(tools.Schema):
    """The tables and tests of one SQL task; they replace any earlier ones."""

    task_id: TaskId
    create: str = Field(
        min_length=10,
        max_length=4000,
        description="The CREATE TABLE statements of all tables, for SQLite, separated by semicolons.",
    )
    tests: list[SqlTest] = Field(
        min_length=1,
        max_length=MAX_TESTS,
        description="The usual case first, then the edges: no rows, rows without a partner, repeats, NULL.",
    )


class TestsAdded(Answer):
    """The tests that were kept."""

    task_id: TaskId
    tests: int = Field(description="How many tests the task has now.")


class AddTaskSolution(tools.Schema):
    """A solution of one task; it replaces any earlier one."""

    task_id: TaskId
    code: Code = Field(
        min_length=1,
        description=(
            "In Python a whole file that defines the function, and neither prints nor reads input; "
            "in SQL one SELECT statement."
        ),
    )


class SolutionAdded(Answer):
    """The solution that was kept."""

    task_id: TaskId


class VerifyTask(tools.Schema):
    """Which task's solution to run against its tests."""

    task_id: TaskId


class Outcome(StrEnum):
    """How one test, or the solution as a whole, went wrong."""

    WRONG_ANSWER = "wrong_answer"
    RAISED = "raised"
    BROKEN = "broken"
    FORBIDDEN = "forbidden"
    TIME_LIMIT = "time_limit"
    MEMORY_LIMIT = "memory_limit"
    OUTPUT_LIMIT = "output_limit"
    DIED = "died"


class Failure(Answer):
    """One thing that is wrong."""

    outcome: Outcome = Field(description="What kind of failure it is.")
    message: str = Field(description="What happened.")
    input: str | None = Field(
        default=None,
        description="The test's expression, or the rows of its tables; none if no test was reached.",
    )
    expected: JsonValue = Field(default=None, description="What the test expects.")
    actual: JsonValue = Field(default=None, description="What the solution gave instead.")


class Verdict(Answer):
    """What came of running a solution against its tests."""

    passed: bool = Field(description="Whether every test passed.")
    tests: int = Field(description="How many tests there are.")
    failures: list[Failure] = Field(description="What is wrong; empty if all passed.")
    isolation: str = Field(
        description="How the solution was kept apart: 'namespaces', or 'limits' where the system allows no more."
    )


class TaskVerified(Answer):
    """The verdict on one task."""

    task_id: TaskId
    passed: bool = Field(description="Whether every test passed.")
    failures: list[Failure] = Field(description="What is wrong with the solution or the tests.")


class PublishTask(tools.Schema):
    """Which task to show to students."""

    task_id: TaskId


class TaskPublished(Answer):
    """A task that students see now."""

    task_id: TaskId
    title: str = Field(description="The task's title.")
    approved_by: str = Field(description="The name of the person who approved it.")


class StartChain(tools.Schema):
    """What three agents are to write; sent by a person."""

    module_id: ModuleId
    student_id: StudentId | None = None
    count: int = Field(default=3, ge=1, le=MAX_TASKS)
    model: str = Field(default="", max_length=100)


class ChainStep(Answer):
    """One step, as a person reads it."""

    kind: str
    task_id: int | None
    round: int
    """2 where the tests were wrong: they are written anew, and then the solution."""

    run_id: UUID | None
    status: str
    """The run's, or `refused`."""

    refused: str
    approvals: list[UUID]
    """What a person is asked about this step, and has not answered."""

    verified: bool | None
    """Whether the task's solution passes its tests; nothing for the conditions."""

    published: bool | None
    """Whether students see the task; nothing for the conditions."""


class ChainProgress(Answer):
    """How far a chain is."""

    chain_id: int
    status: RunStatus
    """As of a run. It awaits approval as long as one of its runs does; with a run that failed, or a step that was
    refused, it has failed once nothing is at work any more."""

    steps: list[ChainStep]

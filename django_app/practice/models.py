"""Lessons, students, and tasks that an agent may draft."""

from django.conf import settings
from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVector
from django.db import models

from mandate.models import AgentOwned

SEARCH_CONFIG = "english"
"""How words are taken for the same; the course is written in this language."""

LESSON_VECTOR = SearchVector("title", config=SEARCH_CONFIG, weight="A") + SearchVector(
    "body", config=SEARCH_CONFIG, weight="B"
)
TASK_VECTOR = SearchVector("title", config=SEARCH_CONFIG, weight="A") + SearchVector(
    "text", config=SEARCH_CONFIG, weight="B"
)


class Module(models.Model):
    """A lesson of the course."""

    class Language(models.TextChoices):
        PYTHON = "python", "Python"
        SQL = "sql", "SQL"

    slug = models.SlugField(unique=True)
    title = models.CharField(max_length=200)
    language = models.CharField(max_length=10, choices=Language.choices)
    body = models.TextField()
    """Markdown, as students read it."""

    position = models.PositiveSmallIntegerField(default=0)
    """Its place in the course."""

    published = models.BooleanField(default=False)

    class Meta:
        ordering = ("position", "slug")
        indexes = (GinIndex(LESSON_VECTOR, name="practice_module_search"),)

    def __str__(self) -> str:
        return self.title


class StudentProfile(models.Model):
    """What an author of tasks should know about a student."""

    class Level(models.TextChoices):
        BEGINNER = "beginner", "beginner"
        INTERMEDIATE = "intermediate", "intermediate"
        ADVANCED = "advanced", "advanced"

    slug = models.SlugField(unique=True)
    name = models.CharField(max_length=100)
    level = models.CharField(max_length=20, choices=Level.choices)
    goals = models.TextField()
    notes = models.TextField(blank=True)
    """What a teacher noticed."""

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name


class Task(AgentOwned):
    """A practice task: a draft until a person publishes it."""

    draft_fields = ("title", "text", "starting_code")
    verified_field = "verified"

    module = models.ForeignKey(Module, on_delete=models.PROTECT, related_name="tasks")
    title = models.CharField(max_length=120)
    text = models.TextField()
    """Markdown; what the student has to do."""

    starting_code = models.TextField(blank=True)
    tests = models.JSONField(default=list, blank=True)
    """A list of `schemas.TaskTest`."""

    solution = models.TextField(blank=True)
    verdict = models.JSONField(null=True, blank=True)
    """`schemas.Verdict` on the tests and the solution as they are; nothing since either changed."""

    verified = models.BooleanField(default=False)
    active = models.BooleanField(default=False)
    """Students see it."""

    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ("module", "pk")
        indexes = (GinIndex(TASK_VECTOR, name="practice_task_search"),)
        permissions = (("publish_task", "Can publish a practice task"),)
        constraints = (
            models.CheckConstraint(
                name="practice_task_active_is_verified",
                condition=models.Q(active=False) | models.Q(verified=True),
            ),
            models.CheckConstraint(
                name="practice_task_verified_has_verdict",
                condition=models.Q(verified=False) | models.Q(verdict__isnull=False),
            ),
        )

    def __str__(self) -> str:
        return self.title


class Chain(models.Model):
    """The work of three agents on one lesson: conditions, then tests and a solution for each task."""

    module = models.ForeignKey(Module, on_delete=models.PROTECT, related_name="+")
    student = models.ForeignKey(
        StudentProfile, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    count = models.PositiveSmallIntegerField()
    model = models.CharField(max_length=100, blank=True)
    """Of all its runs; each agent's own where it is empty."""

    started_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    replayed = False
    """Not stored: this object answers a repeated request."""

    class Meta:
        ordering = ("-created_at", "-pk")

    def __str__(self) -> str:
        return f"{self.module}, {self.created_at:%Y-%m-%d %H:%M}"


class ChainStep(models.Model):
    """One run of a chain, or the reason why it could not be started."""

    class Kind(models.TextChoices):
        CONDITIONS = "conditions", "conditions"
        TESTS = "tests", "tests"
        SOLUTION = "solution", "solution"

    chain = models.ForeignKey(Chain, on_delete=models.CASCADE, related_name="steps")
    kind = models.CharField(max_length=10, choices=Kind.choices)
    task = models.ForeignKey(Task, on_delete=models.CASCADE, null=True, blank=True, related_name="+")
    """What it works on; the conditions work on the lesson."""

    round = models.PositiveSmallIntegerField(default=1)
    """2 where a verdict went back to who wrote the tests, and for the solution after that."""

    run = models.OneToOneField(
        "mandate.Run", on_delete=models.CASCADE, null=True, blank=True, related_name="+"
    )
    refused = models.TextField(blank=True)
    """Why no run was started; empty once there is one."""

    class Meta:
        ordering = ("pk",)
        constraints = (
            models.UniqueConstraint(
                name="practice_step_once",
                fields=("chain", "kind", "task", "round"),
                nulls_distinct=False,
            ),
            models.CheckConstraint(
                name="practice_step_has_run_or_reason",
                condition=models.Q(run__isnull=False, refused="")
                | (models.Q(run__isnull=True) & ~models.Q(refused="")),
            ),
        )

    def __str__(self) -> str:
        return f"{self.kind} of {self.task or self.chain}"

"""What the attacker emits: any tool, any arguments, any order, any repeats."""

import json
import random
import uuid
from dataclasses import dataclass, field
from typing import Any

from mandate import testing
from tests.chaos.attacker import world

UNKNOWN = (
    "decide",
    "approve",
    "ADD_TASKS",
    "add_tasks ",
    "__init__",
    "..",
    "%2e%2e",
    "read_lésson",
    "x" * 300,
)
EXTRAS = ("approved", "approval_id", "approved_by", "ai_user", "agent_user", "acting_for", "run_id", "key")
ODD: tuple[Any, ...] = (
    None, True, -1, 0, 2**63, 2**70, 1.5, 1e308, "", "1", "1 OR 1=1", "'; DROP TABLE practice_task; --",
    "../../etc/passwd", "\x00", "\ud800", "${jndi:ldap://x}", "{{7*7}}", [], [1], {}, {"pk": 1}, "x" * 5000,
)  # fmt: skip
RAW = (
    b"", b"null", b"[]", b'{"arguments": NaN}', b'{"arguments": {"module_id": NaN}}', b'{"arguments": null}',
    b'{"arguments": {}, "approved": true}', b'{"arguments": {"task_id": 1e999}}', b"\xff\xfe",
    b'{"arguments": ' + b'{"a":' * 300 + b"1" + b"}" * 300 + b"}",
    b'{"arguments": {"task_id": 1, "task_id": 2}, "arguments": {"task_id": 3}}',
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Emitted:
    """One tool call as it goes out."""

    tool: str
    body: bytes
    key: str | None


@dataclass(slots=True, kw_only=True)
class Attacker:
    """Knows the tools, every id there is, and whatever it emitted before."""

    chance: random.Random
    others: world.Others
    mandate: world.Mandate
    sent: list[Emitted] = field(default_factory=list)

    def emit(self) -> Emitted:
        """Choose the next call."""
        known = self.sent and self.chance.random() < 0.4
        call = self._vary(self.chance.choice(self.sent)) if known else self._new()
        self.sent.append(call)
        return call

    def call(self) -> tuple[str, dict[str, Any]]:
        """Choose a tool and arguments, as a model's message can hold them."""
        name = self._tool()
        return name, self._arguments(name)

    def _new(self) -> Emitted:
        name, arguments = self.call()
        body = json.dumps({"arguments": arguments, "tool_call_id": self.chance.choice([None, "call_1"])})
        raw = self.chance.random() < 0.05
        content = self.chance.choice(RAW) if raw else body.encode()
        return Emitted(tool=name, body=content, key=self._key())

    def _vary(self, call: Emitted) -> Emitted:
        match self.chance.randrange(4):
            case 0:
                return call
            case 1:
                return Emitted(tool=call.tool, body=call.body, key=testing.new_key())
            case 2:
                return Emitted(tool=self._tool(), body=call.body, key=call.key)
            case _:
                return Emitted(tool=call.tool, body=self._new_body(call.tool), key=call.key)

    def _new_body(self, tool: str) -> bytes:
        return json.dumps({"arguments": self._arguments(tool)}).encode()

    def _tool(self) -> str:
        return self.chance.choices(
            [self.chance.choice(names) for names in (world.GRANTED, world.WITHHELD, UNKNOWN)],
            weights=[12, 3, 1],
        )[0]

    def _key(self) -> str | None:
        roll = self.chance.random()
        if roll < 0.8:
            return testing.new_key()
        wrong = [
            None,
            "",
            self.others.key,
            f'"{testing.new_key()}"',
            "tk1_short",
            "tk1_" + "é" * 32,
            "x" * 500,
        ]
        return self.chance.choice(wrong)

    def _arguments(self, tool: str) -> dict[str, Any]:
        arguments = self._fitting(tool)
        if self.chance.random() < 0.25:
            arguments[self.chance.choice([*arguments, *EXTRAS])] = self.chance.choice(ODD)
        return arguments

    def _fitting(self, tool: str) -> dict[str, Any]:
        match tool:
            case "read_lesson":
                fitting = {"module_id": self._module()}
            case "add_tasks":
                drafts = [self._draft() for _ in range(self.chance.randint(1, 3))]
                fitting = {"module_id": self._module(), "tasks": drafts}
            case "add_task_tests":
                fitting = {"task_id": self._task(), "tests": world.TESTS * self.chance.randint(1, 2)}
            case "add_task_solution":
                fitting = {"task_id": self._task(), "code": f"x = {self.chance.randrange(3)}"}
            case "publish_task":
                # Mostly the one that may be published: what is to be forged must be possible.
                fitting = {"task_id": self.chance.choice([self.mandate.tasks[1].pk] * 2 + [self._task()])}
            case "verify_task":
                fitting = {"task_id": self._task()}
            case _:
                fitting = {"student_id": 1} if tool == "read_profile" else {}
        return fitting

    def _draft(self) -> dict[str, Any]:
        title = self.chance.choice(["The sum of prices", uuid.UUID(int=self.chance.getrandbits(128)).hex])
        return {"title": title, "text": "Write a function that returns the sum of prices."}

    def _module(self) -> int:
        return self.chance.choice([self.others.lesson.pk] * 3 + [self.others.hidden.pk, 0, 10**6])

    def _task(self) -> int:
        own = [task.pk for task in self.mandate.tasks]
        return self.chance.choice(own * 3 + [task.pk for task in self.others.tasks] + [10**6])


@dataclass(slots=True, kw_only=True)
class Plausible(Attacker):
    """Does its work most of the time, so that it comes far, and tries something in between."""

    lapse: float = 0.12
    made: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def call(self) -> tuple[str, dict[str, Any]]:
        """Choose the next step of the work, the same again, or a forgery."""
        if self.made and self.chance.random() < 0.15:
            return self.chance.choice(self.made)
        name = self._tool()
        arguments = self._fitting(name)
        if self._lapses():
            arguments |= self.chance.choice(self._forgeries())
        self.made.append((name, arguments))
        return self.made[-1]

    def _lapses(self) -> bool:
        return self.chance.random() < self.lapse

    def _tool(self) -> str:
        return super(Plausible, self)._tool() if self._lapses() else self.chance.choice(world.GRANTED)

    def _module(self) -> int:
        return super(Plausible, self)._module() if self._lapses() else self.others.lesson.pk

    def _task(self) -> int:
        own = [task.pk for task in self.mandate.tasks]
        return super(Plausible, self)._task() if self._lapses() else self.chance.choice(own)

    def _forgeries(self) -> list[dict[str, Any]]:
        other = str(self.others.run.pk)
        return [
            {"approved": True, "approved_by": self.others.approver.pk},
            {"approval": {"status": "approved", "approval_id": other}},
            {"run_id": other},
            {"key": self.others.key},
            {"agent_user": self.others.person.pk, "acting_for": self.others.approver.pk},
            {"task_id": self.others.tasks[-1].pk, "module_id": self.others.hidden.pk},
        ]

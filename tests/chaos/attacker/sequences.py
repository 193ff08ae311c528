"""Plays sequences of calls against the tool API, and people's decisions between them."""

import json
import random
from collections import Counter
from dataclasses import dataclass, field
from http import HTTPStatus

from django.test import Client

from mandate import exceptions, models
from mandate.services import approvals, runs
from shared_schemas import idempotency
from shared_schemas.problems import ErrorCode
from shared_schemas.runs import Decision
from tests.chaos.attacker import moves, oracle, world

LENGTHS = (6, 20)
POSSIBLE = frozenset(ErrorCode) - {ErrorCode.INTERNAL, ErrorCode.UNAVAILABLE, ErrorCode.TOOL_FAILED}


@dataclass(slots=True, kw_only=True)
class Sequence:
    """One run of the attacker, from its first call to its last."""

    others: world.Others
    chance: random.Random
    mandate: world.Mandate
    http: Client = field(default_factory=Client)
    verdict: oracle.Verdict = field(default_factory=oracle.Verdict)
    bodies: list[bytes] = field(default_factory=list)
    reads: Counter[str] = field(default_factory=Counter)
    approved: set[str] = field(default_factory=set)
    cancelled_at: int | None = None

    def play(self) -> oracle.Verdict:
        """Do it all, and judge it."""
        since = oracle.latest()
        attacker = moves.Attacker(chance=self.chance, others=self.others, mandate=self.mandate)
        for _ in range(self.chance.randint(*LENGTHS)):
            roll = self.chance.random()
            if roll < 0.80:
                self._send(attacker.emit())
            elif roll < 0.88:
                self._misuse()
            elif roll < 0.985:
                self._decide()
            else:
                self._cancel()
        self.verdict.faults += oracle.faults_of(self.done(), since=since)
        self.verdict.effects = self.mandate.run.tool_calls.filter(status="succeeded").count()
        return self.verdict

    def done(self) -> oracle.Done:
        """Return what is judged."""
        return oracle.Done(
            mandate=self.mandate,
            bodies=self.bodies,
            reads=self.reads,
            approved=self.approved,
            cancelled_at=self.cancelled_at,
        )

    def _send(self, call: moves.Emitted) -> None:
        headers = {"Authorization": f"Bearer {self.mandate.token}"}
        if call.key is not None:
            headers[idempotency.HEADER] = call.key
        self._post(f"/agent-api/tools/{call.tool}/calls/", call.body, headers, tool=call.tool)

    def _misuse(self) -> None:
        """Use the run token, the only secret there is, where it is none."""
        pending = models.Approval.objects.filter(run=self.mandate.run).first()
        decision = f"/api/agents/approvals/{pending.pk if pending else self.others.run.pk}/decision/"
        renewal = {
            "run_id": str(self.others.run.pk),
            "thread_id": str(self.others.run.thread_id),
            "epoch": 10**6,
        }
        path, body = self.chance.choice(
            [
                (decision, {"decision": "approve"}),
                ("/agent-api/sessions/", renewal),
                ("/agent-api/sessions/", renewal | {"run_id": str(self.mandate.run.pk)}),
                (f"/api/agents/runs/{self.others.run.pk}/cancel/", {}),
                ("/api/agents/runs/", {"agent": self.mandate.run.agent.slug, "input": {}}),
            ]
        )
        scheme = self.chance.choice(["Bearer", "Token", "Session"])
        headers = {"Authorization": f"{scheme} {self.mandate.token}", "X-Api-Key": self.mandate.token}
        status = self._post(path, json.dumps(body).encode(), headers)
        if status not in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            opened = oracle.Fault(oracle.Kind.OUTSIDE, f"the run token opened {path}: {status}")
            self.verdict.faults.append(opened)

    def _post(self, path: str, body: bytes, headers: dict[str, str], tool: str | None = None) -> int:
        answer = self.http.post(path, body, content_type="application/json", headers=headers)
        self.bodies.append(answer.content)
        said = answer.json()
        told = said.get("code") or said["status"]
        self.verdict.seen[told] += 1
        if answer.status_code >= HTTPStatus.BAD_REQUEST and told not in POSSIBLE:
            unplanned = oracle.Fault(oracle.Kind.ANSWER, f"{path} {body[:300]!r} was answered {said}")
            self.verdict.faults.append(unplanned)
        if tool in {"read_lesson", "own_tasks"} and answer.status_code == HTTPStatus.OK:
            self.reads[tool] += 1
        return answer.status_code

    def _decide(self) -> None:
        approval = models.Approval.objects.filter(run=self.mandate.run, status="pending").first()
        if approval is None:
            return
        decision = self.chance.choice(["approve", "approve", "reject"])
        try:
            approvals.decide(approval.pk, Decision(decision=decision), by=self.others.approver)
        except exceptions.MandateError as refusal:
            self.verdict.seen[f"{decision}: {refusal.code}"] += 1
            return
        self.verdict.seen[decision] += 1
        if decision == "approve":
            self.approved.add(str(approval.pk))

    def _cancel(self) -> None:
        runs.cancel(self.mandate.run.pk)
        self.cancelled_at = oracle.latest()
        self.verdict.seen["cancel"] += 1


def attack(others: world.Others, *, seed: int, number: int) -> oracle.Verdict:
    """Play one sequence; seed and number make it the same one again."""
    chance = random.Random(f"{seed}/{number}")
    return Sequence(others=others, chance=chance, mandate=world.make_mandate(others, chance)).play()


def attack_often(others: world.Others, *, seed: int, sequences: int) -> oracle.Verdict:
    """Play many, and keep what was wrong with the seed that shows it."""
    total = oracle.Verdict()
    for number in range(sequences):
        total.add(attack(others, seed=seed, number=number), name=f"seed {seed}, sequence {number}")
    return total

"""Runs, calls, decisions, cancels, resumes and crashes in any order keep what is promised."""

import json
import os
import uuid
from collections import Counter
from pathlib import Path

import hypothesis
import pytest
from django.contrib.auth.models import Permission, User
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from mandate import models, testing
from mandate.services import runs as run_services
from practice.models import Module, Task
from shared_schemas.problems import ErrorCode
from shared_schemas.runs import RunStatus
from shared_schemas.tools import ToolCallStatus
from tests.django_app.mandate import promises
from tests.django_app.mandate.promises import NOT_HELD, NOT_THEIRS, OPEN, REPEATED, Expected, Question, Sent

FATES = st.sampled_from(["whole", "whole", "dies", "answer lost"])
TOOLS = st.sampled_from(["note", "note", "note_if_approved"])
LIMITS = st.sampled_from([None, None, 2, 4])
TEXTS = st.sampled_from(["one", "two", "three"])


def where(found):
    """Choose among the runs of which this is true; without one the step is not taken."""

    def decorate(step):
        def chosen(self, data, **given):
            step(self, data.draw(st.sampled_from([run for run in self.known if found(run)])), **given)

        chosen.__name__ = step.__name__
        return precondition(lambda self: any(found(run) for run in self.known))(chosen)

    return decorate


class Promises(RuleBasedStateMachine):
    seen: Counter[str] = Counter()
    """Runs and effects of all examples."""

    def __init__(self):
        super().__init__()
        self.known: list[Expected] = []
        self.agent = testing.make_agent("note", "note_if_approved")
        name = uuid.uuid4().hex
        self.people = {
            "owner": User.objects.create_user(f"owner-{name}"),
            "approver": User.objects.create_user(f"approver-{name}"),
            "agent": self.agent.user,
        }
        self.people["approver"].user_permissions.add(Permission.objects.get(codename="publish_task"))

    @initialize(writes=LIMITS, lost=st.booleans())
    def begin(self, writes, lost):
        """Start with a run at work: a call is done, and another waits for a person."""
        run = self.begun(writes, lost)
        self.take(run, "whole")
        for tool in ("note", "note_if_approved"):
            self.send(run, Sent(key=testing.new_key(), tool=tool, text="first"), "whole")

    @rule(writes=LIMITS, lost=st.booleans())
    @precondition(lambda self: len(self.known) < 2)
    def start(self, writes, lost):
        self.begun(writes, lost)

    def begun(self, writes, lost):
        action = promises.start(self.agent, self.people["owner"], writes)
        started = promises.attempt(action, "answer lost" if lost else "whole")
        run = Expected(id=started.pk, writes=writes)
        self.known.append(run)
        return run

    @rule(data=st.data(), fate=FATES)
    @where(lambda run: run.status != RunStatus.AWAITING_APPROVAL)
    def a_worker_takes_it(self, run, fate):
        self.take(run, fate)

    def take(self, run, fate):
        opened = promises.attempt(promises.take(run, run.epoch + 1), fate)
        if fate == "dies":
            return
        if run.status not in OPEN:
            assert opened is ErrorCode.RUN_NOT_ACTIVE
            return
        run.drop_token()
        run.status, run.epoch, run.token = RunStatus.RUNNING, run.epoch + 1, opened.token

    @rule(data=st.data(), which=st.randoms())
    @where(lambda run: run.sent)
    def who_may_not_is_refused(self, run, which):
        if run.epoch > 1 and run.status in OPEN:
            assert promises.attempt(promises.take(run, run.epoch - 1)) is ErrorCode.STALE_WORKER
        if run.lost_tokens:
            call = Sent(key=testing.new_key(), tool="note", text="stale")
            answer = promises.attempt(promises.send(which.choice(run.lost_tokens), call))
            assert promises.is_refused(answer, NOT_HELD)
        if run.token and run.answered:
            another = promises.send(run.token, which.choice(run.answered), text="another")
            assert promises.attempt(another) is ErrorCode.IDEMPOTENCY_KEY_REUSED

    @rule(data=st.data(), tool=TOOLS, text=TEXTS, fate=FATES, inside=st.booleans())
    @where(lambda run: run.token)
    def call(self, run, tool, text, fate, inside):
        sent = Sent(key=testing.new_key(), tool=tool, text=text)
        if inside:
            promises.dying.add(sent.key)
        self.send(run, sent, fate)
        promises.dying.discard(sent.key)

    @rule(data=st.data(), fate=FATES, which=st.randoms())
    @where(lambda run: run.sent)
    def call_again(self, run, fate, which):
        self.send(run, which.choice(list(run.sent.values())), fate)

    @rule(
        data=st.data(),
        decision=st.sampled_from(["approve", "approve", "edit", "reject"]),
        who=st.sampled_from(["approver", "approver", "approver", "owner", "agent"]),
        fate=FATES,
        which=st.randoms(),
    )
    @where(lambda run: run.questions)
    def decide(self, run, decision, who, fate, which):
        question = which.choice(run.questions)
        text = "edited" if decision == "edit" else None
        action = promises.decide(question, decision, text, self.people[who])
        decided = promises.attempt(action, fate)
        if fate != "dies":
            self.judge_decision(run, question, (decision, text), who, decided)

    @rule(data=st.data(), fate=FATES)
    @where(lambda run: run.status in OPEN and run.unread)
    def park(self, run, fate):
        waiting = run.unread
        promises.attempt(promises.news(run, "success", waiting), fate)
        if fate == "dies":
            return
        for question in run.questions:
            question.waited_for = question in waiting
        run.status = RunStatus.AWAITING_APPROVAL
        run.drop_token()
        run.go_on()

    @rule(data=st.data(), status=st.sampled_from(["success", "error", "error", "timeout"]), fate=FATES)
    @where(lambda run: run.sent or run.status not in OPEN)
    def a_segment_ends(self, run, status, fate):
        self.end(run, status, fate)

    def end(self, run, status, fate):
        promises.attempt(promises.news(run, status), fate)
        if fate != "dies" and run.status in OPEN:
            run.end(RunStatus.COMPLETED if status == "success" else RunStatus.FAILED)

    @rule(data=st.data(), status=st.sampled_from(["success", "error"]))
    @where(lambda run: run.segment > 1)
    def old_news_change_nothing(self, run, status):
        promises.attempt(promises.news(run, status, segment=run.segment - 1))

    @rule(data=st.data(), fate=FATES)
    @where(lambda run: run.sent or run.status == RunStatus.FAILED)
    def a_person_resumes_it(self, run, fate):
        self.resume(run, fate)

    def resume(self, run, fate):
        resumed = promises.attempt(lambda: run_services.resume(run.id), fate)
        if run.status != RunStatus.FAILED:
            assert fate == "dies" or resumed is ErrorCode.ILLEGAL_TRANSITION
        elif fate != "dies":
            run.status, run.segment = RunStatus.PENDING, run.segment + 1

    @rule(data=st.data(), fate=FATES)
    @where(lambda run: run.sent)
    def cancel(self, run, fate):
        cancelled = promises.attempt(lambda: run_services.cancel(run.id), fate)
        if run.status in {RunStatus.COMPLETED, RunStatus.FAILED}:
            assert fate == "dies" or cancelled is ErrorCode.ILLEGAL_TRANSITION
        elif fate != "dies":
            run.end(RunStatus.CANCELLED)

    @rule()
    @precondition(lambda self: any(run.questions for run in self.known))
    def nobody_decides(self):
        promises.later()
        for run in self.known:
            for question in run.questions:
                if question.status == "pending":
                    question.status = "expired"
                    run.go_on()

    @invariant()
    def nothing_else_is_true(self):
        for run in self.known:
            promises.check(run)

    def teardown(self):
        for run in self.known:
            self.bring_to_its_end(run)
            promises.check(run)
            self.seen += Counter(runs=1, effects=len(run.effects))
        models.Run.objects.filter(agent=self.agent).delete()
        Task.objects.all().delete()

    def send(self, run, sent, fate):
        token = run.token or (run.lost_tokens[-1] if run.lost_tokens else "djr_none")
        run.sent.setdefault(sent.key, sent)
        died_inside = sent.key in promises.dying
        answer = promises.attempt(promises.send(token, sent), fate)
        if fate == "dies" or answer is None:
            assert fate == "dies" or died_inside
            return
        if run.token is None:
            assert promises.is_refused(answer, NOT_HELD)
        elif sent.kept is not None:
            assert answer == sent.kept
        elif sent.question is not None:
            self.judge_asked_again(sent, answer)
        else:
            self.judge_first_answer(run, sent, answer)

    def judge_first_answer(self, run, sent, answer):
        if run.repeats(sent):
            assert promises.is_refused(answer, REPEATED) or promises.is_answer(answer)
            sent.repeats, sent.kept = True, answer
        elif run.writes is not None and run.performed >= run.writes:
            assert answer is ErrorCode.LIMIT_SPENT
        elif sent.tool == "note":
            assert answer.result == {"text": sent.text}
            sent.kept, run.effects[sent.key] = answer, sent.text
        else:
            assert answer.status is ToolCallStatus.PENDING_APPROVAL
            assert answer.approval.arguments == {"text": sent.text}
            sent.question = Question(id=answer.approval.approval_id, call=sent)

    def judge_asked_again(self, sent, answer):
        if sent.question.status == "pending":
            assert answer.approval.approval_id == sent.question.id
            return
        is_done = sent.question.status == "approved"
        assert answer.status is (ToolCallStatus.SUCCEEDED if is_done else ToolCallStatus.DECLINED)
        sent.question.read, sent.kept = True, answer

    def judge_decision(self, run, question, decision, who, decided):
        if who != "approver":
            assert promises.is_refused(decided, NOT_THEIRS)
        elif question.decided == decision:
            assert decided.status == question.status
        elif question.status != "pending":
            assert decided is ErrorCode.ALREADY_DECIDED
        else:
            name, text = decision
            question.status = "rejected" if name == "reject" else "approved"
            question.decided = decision
            assert decided.status == question.status
            if name != "reject":
                run.effects[question.call.key] = text or question.call.text
            run.go_on()

    def bring_to_its_end(self, run):
        """Whatever happened, the run can be ended well, and every call it sent is answered."""
        if run.status == RunStatus.FAILED:
            self.resume(run, "whole")
        for question in run.questions:
            if question.status == "pending":
                action = promises.decide(question, "approve", None, self.people["approver"])
                self.judge_decision(run, question, ("approve", None), "approver", promises.attempt(action))
        if run.status in {RunStatus.COMPLETED, RunStatus.CANCELLED}:
            return
        assert run.status in OPEN, "nothing keeps it from going on"
        self.take(run, "whole")
        for call in list(run.sent.values()):
            self.send(run, call, "whole")
        self.end(run, "success", "whole")
        assert run.status == RunStatus.COMPLETED


@pytest.mark.django_db(transaction=True)
@pytest.mark.timeout(900)
def test_any_order_of_events_keeps_the_promises():
    """`make chaos` asks for more examples, by another seed each time, and for the figures."""
    examples, seed = (int(os.environ.get(f"PROMISES_{name}", "10")) for name in ("EXAMPLES", "SEED"))
    Module.objects.create(slug="notes", title="Notes", language="python", body="", published=True)
    with testing.temporary_tools():
        promises.declare()
        run_state_machine_as_test(
            hypothesis.seed(seed)(Promises),
            settings=hypothesis.settings(max_examples=examples, stateful_step_count=30, deadline=None),
        )
    if report := os.environ.get("PROMISES_REPORT"):
        Path(report).write_text(json.dumps(Promises.seen))

"""A model that emits whatever it likes reaches nothing but what it was given."""

from tests.chaos.attacker import sequences

SEEN = {
    "succeeded",
    "pending_approval",
    "approve",
    "tool_not_granted",
    "unknown_tool",
    "limit_spent",
    "rejected",
    "invalid_arguments",
    "idempotency_key_reused",
    "idempotency_key_malformed",
    "idempotency_key_missing",
    "malformed_body",
    "run_not_active",
    "unauthenticated",
}
"""What must have been answered for the attack to have been one."""


def test_no_sequence_of_calls_leaves_the_mandate(others, size, report):
    verdict = sequences.attack_often(others, seed=size.seed, sequences=size.sequences)

    report("attacker", verdict)
    assert verdict.faults == []
    assert set(verdict.seen) >= SEEN

"""What a person can do about a run that failed, by the code it failed with."""

from dataclasses import dataclass

from shared_schemas.problems import ErrorCode


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """What to do, and whether the same run can go on after it."""

    text: str
    goes_on: bool = True


_PERSON = "Ask whoever looks after the agents"

GENERAL = Advice(text=f"{_PERSON} with the code above; then let it go on.")

BY_CODE = {
    ErrorCode.MODEL_FAILED: Advice(
        text="The provider of the model did not answer as it should. If it is a passing trouble of theirs, "
        "let the run go on; if the message names a key or a quota, that has to be mended first."
    ),
    ErrorCode.MODEL_WITHOUT_KEY: Advice(
        text="The agent service has no key of the model's provider; the message names it. "
        f"{_PERSON} to set it, then let the run go on; or start a new one with another model."
    ),
    ErrorCode.RUN_TIMEOUT: Advice(text="Let it go on: it takes up the work where it stopped."),
    ErrorCode.SUBMISSION_FAILED: Advice(
        text="The agent service could not be reached. Let the run go on as soon as it can."
    ),
    ErrorCode.UNAVAILABLE: Advice(text="The other side did not answer. Let it go on in a moment."),
    ErrorCode.LIMIT_SPENT: Advice(
        text=f"It has used up what it was given. {_PERSON} to raise the run's limit, then let it go on."
    ),
    ErrorCode.AGENT_PAUSED: Advice(
        text="Somebody paused this agent. Let the run go on when the agent may work again."
    ),
    ErrorCode.TOOL_PAUSED: Advice(
        text="Somebody switched a tool off. Let the run go on when it is switched on again."
    ),
    ErrorCode.FORBIDDEN: Advice(
        text="An account may not do this any more: yours or the agent's. Let the run go on when it may."
    ),
    ErrorCode.REJECTED: Advice(
        text="A rule refused what the agent wanted to do; the message says which. "
        "Mend the data, then let it go on: it tries the same again."
    ),
    ErrorCode.TOOL_FAILED: Advice(
        text=f"A tool broke, and nothing was changed. {_PERSON} to mend it, then let the run go on."
    ),
    ErrorCode.GRAPH_FAILED: Advice(text=f"The agent itself broke. {_PERSON}, then let the run go on."),
    ErrorCode.RECURSION_LIMIT: Advice(
        text=f"The agent took more steps than it may; it may be going in circles. {_PERSON} before it goes on."
    ),
    ErrorCode.ATTEMPTS_EXHAUSTED: Advice(
        text=f"Several workers failed at it, one after the other. {_PERSON} before it goes on."
    ),
    ErrorCode.INVALID_ARGUMENTS: Advice(
        text="The model called a tool wrongly, and again after it was told. Let the run go on, or try another model.",
    ),
    ErrorCode.LOOP_DETECTED: Advice(
        text="The model asked for the same thing again and again. A new run with another model may do better.",
        goes_on=False,
    ),
    ErrorCode.INVALID_REQUEST: Advice(
        text="What the run was given does not fit; the message says where. Start a new one with that corrected.",
        goes_on=False,
    ),
    ErrorCode.UNSTORABLE_VALUE: Advice(
        text="A value cannot be kept; the message says where. Start a new run without it.", goes_on=False
    ),
    ErrorCode.UNKNOWN_MODEL: Advice(
        text="The model is not one that may be used now. Start a new run with another one.", goes_on=False
    ),
    ErrorCode.UNKNOWN_GRAPH: Advice(
        text=f"The agent service does not know this agent's graph. {_PERSON}; then let the run go on."
    ),
    ErrorCode.UNKNOWN_TOOL: Advice(
        text=f"A tool that the agent needs is not there. {_PERSON}; then let the run go on."
    ),
    ErrorCode.TOOL_NOT_GRANTED: Advice(
        text=f"The run was not given a tool it needs. {_PERSON} to give it to the agent, then start a new run.",
        goes_on=False,
    ),
    ErrorCode.GRAPH_VERSION_MISMATCH: Advice(
        text="The agent was changed while the run waited, and what it stood before is gone. Start a new run.",
        goes_on=False,
    ),
    ErrorCode.NOT_FOUND: Advice(
        text="The agent service does not know the run any more. Start a new one.", goes_on=False
    ),
}


def of(code: ErrorCode) -> Advice:
    """Return what to do about a failure."""
    return BY_CODE.get(code, GENERAL)

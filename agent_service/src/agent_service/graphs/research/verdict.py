"""Whether an answer holds to the records that were found. No model is asked."""

from collections.abc import Iterator, Sequence

from agent_service.graphs.research import schemas


def judge(
    records: Sequence[schemas.Record], summary: schemas.ResearchSummary, findings: schemas.ResearchFindings
) -> schemas.Verdict:
    """Hold every citation to a record, and every quotation to that record's words."""
    reasons = [*_of_refs(records, summary), *_of_findings(records, findings)]
    return schemas.Verdict(passed=not reasons, reasons=reasons)


def _of_refs(records: Sequence[schemas.Record], summary: schemas.ResearchSummary) -> Iterator[str]:
    known = {record["ref"] for record in records}
    for ref in summary.refs:
        if ref not in known:
            yield f"The answer cites {ref!r}, which the search did not find."


def _of_findings(records: Sequence[schemas.Record], findings: schemas.ResearchFindings) -> Iterator[str]:
    texts = {record["ref"]: _words(f"{record['title']} {record['snippet']}") for record in records}
    for finding in findings.findings:
        if finding.ref not in texts:
            yield f"A finding cites {finding.ref!r}, which the search did not find."
        elif _words(finding.quote) not in texts[finding.ref]:
            yield f"{finding.ref!r} does not say {finding.quote!r}."


def _words(text: str) -> str:
    return " ".join(text.split()).casefold()

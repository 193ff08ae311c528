from pydantic import BaseModel

from mandate import tools
from tests.chaos.marks import models


class MakeMark(tools.Schema):
    name: str


class MarkMade(BaseModel):
    name: str


@tools.tool(scope="marks:write", effect=tools.Effect.WRITE)
def make_mark(context: tools.Context, call: MakeMark) -> MarkMade:
    """Leave a mark."""
    return _made(context, call, sealed=False)


@tools.tool(
    scope="marks:seal", effect=tools.Effect.WRITE, approval=tools.ApprovalRule(permission="marks.add_mark")
)
def seal_mark(context: tools.Context, call: MakeMark) -> MarkMade:
    """Leave a mark that a person has to agree to."""
    return _made(context, call, sealed=True)


def _made(context: tools.Context, call: MakeMark, *, sealed: bool) -> MarkMade:
    mark = models.Mark.objects.create(
        run_id=context.run_id, name=call.name, sealed=sealed, key=context.key or ""
    )
    context.link(mark)
    return MarkMade(name=mark.name)

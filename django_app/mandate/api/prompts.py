"""The people's API of prompt versions."""

from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from mandate.api import parameters
from mandate.selectors import prompts as selectors
from shared_schemas import prompts as wire


class PromptVersions(APIView):
    """`/api/agents/prompt-versions/`, of one agent with `?agent=`."""

    def get(self, request: Request) -> Response:
        figures = selectors.by_version(request.user, agent=parameters.agent(request))
        return Response(wire.PromptVersions(results=figures).model_dump(mode="json"))

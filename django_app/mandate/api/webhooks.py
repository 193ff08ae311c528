"""Where the agent service's webhooks arrive."""

from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt

from mandate import exceptions
from mandate.api import problems
from mandate.services import webhooks
from shared_schemas.problems import ErrorCode

MAX_BODY_BYTES = 64 * 1024


@csrf_exempt
@problems.answered("POST")
def receive(request: HttpRequest) -> HttpResponse:
    """Answer 200 to a webhook that is applied, now or before; 503 asks for it again."""
    body = request.read(MAX_BODY_BYTES + 1)
    if len(body) > MAX_BODY_BYTES:
        raise exceptions.RequestRefused(
            ErrorCode.BODY_TOO_LARGE, f"A webhook may have {MAX_BODY_BYTES} bytes at most."
        )
    try:
        webhooks.receive({name.lower(): value for name, value in request.headers.items()}, body)
    except exceptions.DeliveryFailed as error:
        raise exceptions.RequestRefused(ErrorCode.UNAVAILABLE, error.detail) from error
    return HttpResponse(status=200)

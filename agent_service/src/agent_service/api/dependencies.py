"""What endpoints ask for: the services, the caller with its scope, the idempotency key."""

import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Annotated

from fastapi import Depends, Header, Request, Security
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer, SecurityScopes

from agent_service import auth, bootstrap, exceptions
from agent_service.api import repeating, streams
from agent_service.engine import run
from shared_schemas import idempotency, json_values, tokens
from shared_schemas.problems import ErrorCode

# None of them waits, and all are asynchronous: FastAPI calls others in a thread, for each request.

# They only describe the two headers in the OpenAPI document; `auth.read_token` reads them.
_bearer = HTTPBearer(auto_error=False, bearerFormat="JWT", description="A token that Django signs.")
_api_key = APIKeyHeader(name="x-api-key", auto_error=False, description="The same token.")


async def _services(request: Request) -> bootstrap.Services:
    services: bootstrap.Services = request.app.state.services
    return services


Services = Annotated[bootstrap.Services, Depends(_services)]


async def _caller(
    request: Request,
    needed: SecurityScopes,
    services: Services,
    _credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
    _key: Annotated[str | None, Depends(_api_key)],
) -> auth.Caller:
    token = auth.read_token(request.headers)
    caller = services.authenticator.authenticate(token)
    if tokens.Scope.RUNS_WRITE.value in needed.scopes:
        repeating.mark_writing(request)
    for scope in needed.scopes:
        caller.require(tokens.Scope(scope))
    return caller


Reader = Annotated[auth.Caller, Security(_caller, scopes=[tokens.Scope.RUNS_READ.value])]
Writer = Annotated[auth.Caller, Security(_caller, scopes=[tokens.Scope.RUNS_WRITE.value])]


async def _follower(request: Request, services: Services, caller: Reader) -> streams.Follower:
    state = request.app.state
    return streams.Follower(
        services=services, seats=state.seats, caller=caller.subject, stopping=state.stopping
    )


async def _follower_of_new(
    follower: Annotated[streams.Follower, Depends(_follower)],
) -> AsyncIterator[streams.Follower]:
    # Before there is a run that nobody could follow, and until the answer is over.
    with follower.seats.kept(follower.caller):
        yield replace(follower, has_seat=True)


Follower = Annotated[streams.Follower, Depends(_follower)]
FollowerOfNew = Annotated[streams.Follower, Depends(_follower_of_new)]


async def _idempotency(
    request: Request,
    header: Annotated[
        str | None,
        Header(
            alias=idempotency.HEADER,
            description="8 to 200 visible ASCII characters; the same key and body never create twice.",
        ),
    ] = None,
) -> run.IdempotencyKey | None:
    if header is None:
        return None
    try:
        key = idempotency.parse(header)
    except idempotency.MalformedKeyError as error:
        raise exceptions.RequestError(ErrorCode.IDEMPOTENCY_KEY_MALFORMED, str(error)) from None
    body = await request.json() if await request.body() else None
    text = json_values.canonical([request.path_params.get("thread_id"), body])
    return run.IdempotencyKey(key=key, digest=hashlib.sha256(text.encode()).hexdigest())


Idempotency = Annotated[run.IdempotencyKey | None, Depends(_idempotency)]

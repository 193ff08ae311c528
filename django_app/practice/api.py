"""The people's API of chains: have tasks written by three agents, and see how far they are."""

from django.contrib.auth.models import AbstractUser
from pydantic import ValidationError
from rest_framework.generics import get_object_or_404
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from mandate import exceptions
from mandate.services import request_keys
from practice import chains, models, schemas, selectors
from shared_schemas import idempotency
from shared_schemas.problems import ErrorCode


class Chains(APIView):
    """`/api/practice/chains/`."""

    permission_classes = (IsAuthenticated,)

    def post(self, request: Request) -> Response:
        asked = _parsed(request)
        student = asked.student_id and get_object_or_404(models.StudentProfile, pk=asked.student_id)
        chain = chains.start(
            module=get_object_or_404(selectors.lessons(), pk=asked.module_id),
            student=student or None,
            count=asked.count,
            model=asked.model,
            by=_person(request),
            request_key=request_keys.read(request.headers),
        )
        replayed = {idempotency.REPLAYED_HEADER: "true"} if chain.replayed else None
        return Response(_described(chain), status=202, headers=replayed)


class Chain(APIView):
    """`/api/practice/chains/{id}/`."""

    permission_classes = (IsAuthenticated,)

    def get(self, request: Request, chain_id: int) -> Response:
        return Response(_described(get_object_or_404(selectors.chains_of(_person(request)), pk=chain_id)))


def _described(chain: models.Chain) -> object:
    asked = list(selectors.questions_of(chain))
    progress = schemas.ChainProgress(
        chain_id=chain.pk,
        status=selectors.status_of(chain),
        steps=[
            schemas.ChainStep(
                kind=step.kind,
                task_id=step.task_id,
                round=step.round,
                run_id=step.run_id,
                status=step.run.status if step.run else "refused",
                refused=step.refused,
                approvals=[approval.pk for approval in asked if approval.run_id == step.run_id],
                verified=step.task.verified if step.task else None,
                published=step.task.active if step.task else None,
            )
            for step in chain.steps.all()
        ],
    )
    return progress.model_dump(mode="json")


def _parsed(request: Request) -> schemas.StartChain:
    try:
        return schemas.StartChain.model_validate_json(request.body)
    except ValidationError as error:
        raise exceptions.RequestRefused.by_schema(
            ErrorCode.INVALID_REQUEST, "The body is not a request for a chain.", error
        ) from None


def _person(request: Request) -> AbstractUser:
    assert isinstance(request.user, AbstractUser), "the permission classes let nobody unknown in"
    return request.user

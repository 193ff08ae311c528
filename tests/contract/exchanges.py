"""Holds requests and their answers against the committed documents of the side that answers."""

import json
import re
from collections.abc import Iterator
from http import HTTPStatus
from urllib.parse import quote

import httpx
import jsonschema
import referencing
from referencing import jsonschema as dialects

from stack import contracts

TOOL_API = "django-tool-api.openapi.json"
PEOPLE_API = "django-people-api.openapi.json"
AGENT_SERVICE = "agent-service.openapi.json"

_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_METHODS = frozenset({"get", "put", "post", "delete", "patch"})


class Document:
    """A committed JSON document; places in it are JSON pointers."""

    def __init__(self, name):
        self.content = json.loads((contracts.FOLDER / name).read_text())
        resource = referencing.Resource(self.content, dialects.DRAFT202012)
        self._registry = referencing.Registry().with_resource("urn:document", resource)

    def faults(self, value, *place):
        """Yield where a value does not fit the schema at a place."""
        pointer = "".join(f"/{_escape(step)}" for step in place)
        validator = jsonschema.Draft202012Validator(
            {"$ref": f"urn:document#{pointer}"},
            registry=self._registry,
            format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER,
        )
        for error in validator.iter_errors(value):
            yield f"{error.json_path}: {error.message[:300]}"


class Api:
    """What one side offers, in one OpenAPI document or several."""

    def __init__(self, *names):
        self._operations = [
            Operation(document, path, method)
            for document in map(Document, names)
            for path, methods in document.content["paths"].items()
            for method in _METHODS.intersection(methods)
        ]
        self._operations.sort(key=lambda operation: operation.path.count("{"))

    def faults(self, request, response):
        """Return what is wrong with an exchange.

        A request that the document forbids is right only if it was refused.
        """
        operation = next((one for one in self._operations if one.matches(request)), None)
        if operation is None:
            return [f"{request.method} {request.url.path} is not in the document"]
        asked = [] if response.is_client_error else [*operation.request_faults(request)]
        return [f"{operation.name}: {fault}" for fault in [*asked, *operation.answer_faults(response)]]


class Operation:
    """One method of one path."""

    def __init__(self, document, path, method):
        self.path = path
        self.name = f"{method.upper()} {path}"
        self._document = document
        self._method = method
        self._place = ("paths", path, method)
        self._described = document.content["paths"][path][method]
        self._pattern = re.compile(_PLACEHOLDER.sub(r"(?P<\1>[^/]+)", path))

    def matches(self, request):
        same_method = request.method.lower() == self._method
        return same_method and self._pattern.fullmatch(request.url.path) is not None

    def request_faults(self, request):
        yield from self._parameter_faults(request)
        described = self._described.get("requestBody")
        if described is None:
            if request.content:
                yield "the request has a body, which nobody asked for"
        elif request.content or described.get("required"):
            yield from self._content_faults(request, described, "requestBody")

    def answer_faults(self, response):
        status = str(response.status_code)
        described = self._described["responses"].get(status)
        if described is None:
            yield f"the status {status} is not in the document"
        elif described.get("content"):
            yield from self._content_faults(response, described, "responses", status)
        elif not _is_stream(response) and response.content:
            yield f"the answer {status} has a body"

    def _content_faults(self, message, described, *place):
        media_type = _media_type(message)
        if media_type not in described["content"]:
            yield f"the media type {media_type!r} is not in the document"
        elif media_type.endswith("json"):
            value = json.loads(message.content or b"null")
            content = described["content"][media_type]
            if "schema" in content:
                place = (*self._place, *place, "content", media_type, "schema")
                yield from self._document.faults(value, *place)

    def _parameter_faults(self, request) -> Iterator[str]:
        sent = {
            "path": {
                name: [value] for name, value in self._pattern.match(request.url.path).groupdict().items()
            },
            "query": {name: request.url.params.get_list(name) for name in request.url.params},
            "header": {name: [value] for name, value in request.headers.items()},
        }
        known = set()
        for number, parameter in enumerate(self._described.get("parameters", ())):
            name = parameter["name"].lower() if parameter["in"] == "header" else parameter["name"]
            known.add(name)
            if values := sent[parameter["in"]].get(name):
                yield from self._value_faults(values, name, *self._place, "parameters", number, "schema")
            elif parameter.get("required"):
                yield f"the {parameter['in']} parameter {name!r} is missing"
        yield from (
            f"the query parameter {name!r} is not in the document" for name in sent["query"].keys() - known
        )

    def _value_faults(self, values, name, *place):
        """A parameter is a text, or what the text says as JSON, or a list of texts; a flag may be 0 or 1."""
        readings = [values[0], _from_json(values[0]), values]
        readings += [values[0] == "1"] if values[0] in {"0", "1"} else []
        found = [list(self._document.faults(reading, *place)) for reading in readings]
        if all(found):
            yield f"parameter {name!r}: {found[0][0]}"


class CheckedTransport(httpx.AsyncBaseTransport):
    """Fails the client's request if the exchange does not fit."""

    def __init__(self, inner, api):
        self._inner = inner
        self._api = api

    async def handle_async_request(self, request):
        response = await self._inner.handle_async_request(request)
        await response.aread()
        assert self._api.faults(request, response) == []
        return response

    async def aclose(self):
        await self._inner.aclose()


def _escape(step):
    return quote(str(step).replace("~", "~0").replace("/", "~1"), safe="~")


def _media_type(message):
    return message.headers.get("content-type", "").partition(";")[0].strip().lower()


def _is_stream(response):
    return _media_type(response) == "text/event-stream" or response.status_code == HTTPStatus.NO_CONTENT


def _from_json(text):
    try:
        return json.loads(text)
    except ValueError:
        return text

"""Google's REST traffic against Google's own discovery documents."""

import base64
import binascii
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from traffic import Checked, Exchange

APIS = (
    "iam.v1",
    "cloudresourcemanager.v1",
    "cloudresourcemanager.v3",
    "bigquery.v2",
    "bigqueryconnection.v1",
)
UNKNOWN = "(not described)"
INT64 = {"int64": (-(2**63), 2**63 - 1), "uint64": (0, 2**64 - 1)}

Json = dict[str, Any]


class Method:
    """One method of one API."""

    def __init__(self, api: Json, spec: Json) -> None:
        self.name: str = spec["id"]
        self.http: str = spec["httpMethod"]
        self.schemas: Json = api["schemas"]
        self.request: Json | None = spec.get("request")
        self.response: Json | None = spec.get("response")
        own = spec.get("parameters", {})
        self.query = api["parameters"] | {
            name: parameter for name, parameter in own.items() if parameter["location"] == "query"
        }
        parts = re.split(r"(\{\+?\w+\})", "/" + api["servicePath"] + spec["path"])
        self.pattern = re.compile("".join(_one_part(part, own) for part in parts))


def _one_part(part: str, parameters: Json) -> str:
    if not part.startswith("{"):
        return re.escape(part)
    pattern: str = parameters[part.strip("{+}")].get("pattern", "[^/]+")
    return "(?:" + pattern.removeprefix("^").removesuffix("$") + ")"


class Google:
    """The discovery documents, ready to be asked."""

    def __init__(self, folder: Path) -> None:
        self.methods: list[Method] = []
        for name in APIS:
            api = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
            self.methods += [Method(api, spec) for spec in all_methods(api)]

    def check(self, exchange: Exchange) -> Checked:
        fitting = [
            method
            for method in self.methods
            if method.http == exchange.method and method.pattern.fullmatch(exchange.path)
        ]
        if not fitting:
            return Checked(UNKNOWN, [f"no method {exchange.method} {exchange.path}"])
        if len(fitting) > 1:
            names = ", ".join(method.name for method in fitting)
            return Checked(UNKNOWN, [f"{exchange.method} {exchange.path} may be any of {names}"])
        method = fitting[0]
        problems = [
            *check_query(method, exchange),
            *check_request(method, exchange),
            *check_response(method, exchange),
        ]
        return Checked(method.name, problems)


def all_methods(resource: Json) -> Iterator[Json]:
    yield from resource.get("methods", {}).values()
    for inner in resource.get("resources", {}).values():
        yield from all_methods(inner)


def check_query(method: Method, exchange: Exchange) -> Iterator[str]:
    sent = exchange.query
    for name, text in sent:
        parameter = method.query.get(name)
        if parameter is None:
            yield f"query parameter {name} is not described"
        else:
            value = typed(text, parameter["type"])
            yield from differences(parameter, value, method.schemas, f"query parameter {name}")
    names = [name for name, _ in sent]
    for name, parameter in method.query.items():
        if parameter.get("required") and name not in names:
            yield f"query parameter {name} is missing"
        if names.count(name) > 1 and not parameter.get("repeated"):
            yield f"query parameter {name} is repeated"


def check_request(method: Method, exchange: Exchange) -> Iterator[str]:
    if exchange.request is None:
        return
    if method.request is None:
        yield "request has a body, none is described"
        return
    body = exchange.request
    if exchange.method == "PATCH":
        body = without_removals(body)
    yield from differences(method.request, body, method.schemas, "request")


def check_response(method: Method, exchange: Exchange) -> Iterator[str]:
    answer = exchange.response
    if exchange.status >= 400:
        # The discovery documents leave errors out: this is the form that all of Google's share.
        error = answer.get("error") if isinstance(answer, dict) else None
        if not isinstance(error, dict):
            yield f"answer {exchange.status} is no error of Google's form"
        elif error.get("code") != exchange.status or not isinstance(error.get("message"), str):
            yield f"answer {exchange.status} does not carry its code and a message"
    elif method.response is None:
        if answer not in (None, {}):
            yield "answer has a body, none is described"
    elif answer is None:
        yield f"answer {exchange.status} has no body"
    else:
        yield from differences(method.response, answer, method.schemas, "answer")


def differences(schema: Json, value: Any, schemas: Json, place: str) -> Iterator[str]:
    """Where the value is not what the schema says; a field it does not name is a difference."""
    if "$ref" in schema:
        schema = schemas[schema["$ref"]]
    match schema.get("type", "any"):
        case "object":
            yield from object_differences(schema, value, schemas, place)
        case "array":
            if not isinstance(value, list):
                yield f"{place}: {value!r} is no array"
                return
            for index, item in enumerate(value):
                yield from differences(schema["items"], item, schemas, f"{place}/{index}")
        case "string":
            yield from string_differences(schema, value, place)
        case "boolean":
            if not isinstance(value, bool):
                yield f"{place}: {value!r} is no boolean"
        case "integer":
            if not isinstance(value, int) or isinstance(value, bool):
                yield f"{place}: {value!r} is no integer"
        case "number":
            if not isinstance(value, int | float) or isinstance(value, bool):
                yield f"{place}: {value!r} is no number"


def without_removals(patch: Any) -> Any:
    """What a patch sets: a field of null is to be removed, whatever its type.

    https://cloud.google.com/bigquery/docs/deleting-labels
    """
    if not isinstance(patch, dict):
        return patch
    return {name: without_removals(field) for name, field in patch.items() if field is not None}


def object_differences(schema: Json, value: Any, schemas: Json, place: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{place}: {value!r} is no object"
        return
    properties = schema.get("properties", {})
    others = schema.get("additionalProperties")
    for name, field in value.items():
        inner = properties.get(name, others)
        if inner is None:
            yield f"{place}/{name} is not described"
        else:
            yield from differences(inner, field, schemas, f"{place}/{name}")


def string_differences(schema: Json, value: Any, place: str) -> Iterator[str]:
    if not isinstance(value, str):
        yield f"{place}: {value!r} is no string"
        return
    kind = schema.get("format")
    if "enum" in schema and value not in schema["enum"]:
        yield f"{place}: {value!r} is none of {', '.join(schema['enum'])}"
    if kind in INT64 and not is_within(value, *INT64[kind]):
        yield f"{place}: {value!r} is no {kind}"
    if kind == "byte" and not is_base64(value):
        yield f"{place}: {value!r} is no base64"


def is_within(text: str, least: int, most: int) -> bool:
    return re.fullmatch(r"-?\d+", text) is not None and least <= int(text) <= most


def is_base64(text: str) -> bool:
    try:
        base64.b64decode(text, altchars=b"-_" if set(text) & {"-", "_"} else None, validate=True)
    except binascii.Error:
        return False
    return True


def typed(text: str, kind: str) -> Any:
    """A query parameter as the type that its description gives it."""
    if kind == "integer" and re.fullmatch(r"-?\d+", text):
        return int(text)
    if kind == "boolean" and text in ("true", "false"):
        return text == "true"
    return text

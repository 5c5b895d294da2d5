"""GitHub's REST traffic against GitHub's own OpenAPI description."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jsonschema import Draft7Validator
from jsonschema.exceptions import best_match
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT7

from traffic import Checked, Exchange, short

ROOT = "urn:openapi"
JSON_TYPE = "application/json"
UNKNOWN = "(not described)"

Json = dict[str, Any]


class Operation:
    """One method of one path."""

    def __init__(self, method: str, template: str, spec: Json, parameters: list[Json]) -> None:
        self.name = f"{method} {template}"
        self.template = template
        self.spec = spec
        self.query = {p["name"]: p for p in parameters if p["in"] == "query"}
        multi = {p["name"] for p in parameters if p.get("x-multi-segment")}
        self.pattern = re.compile(
            "".join(_one_part(part, multi) for part in re.split(r"(\{[^}]+\})", template) if part)
        )
        self.literal_length = len(re.sub(r"\{[^}]+\}", "", template))


def _one_part(part: str, multi: set[str]) -> str:
    if not part.startswith("{"):
        return re.escape(part)
    return ".+" if part[1:-1] in multi else "[^/]+"


class GitHub:
    """The description, ready to be asked."""

    def __init__(self, description: Path) -> None:
        document = json_schema(json.loads(description.read_text(encoding="utf-8")))
        self.document: Json = document
        resource: Resource[Any] = DRAFT7.create_resource(document)
        self.registry: Registry[Any] = Registry().with_resource(ROOT, resource)
        self.operations: dict[str, list[Operation]] = {}
        for template, item in document["paths"].items():
            shared = item.get("parameters", [])
            for method, spec in item.items():
                if method == "parameters":
                    continue
                own = spec.get("parameters", [])
                parameters = [self.resolve(p) for p in [*shared, *own]]
                operation = Operation(method.upper(), template, spec, parameters)
                self.operations.setdefault(method.upper(), []).append(operation)

    def check(self, exchange: Exchange) -> Checked:
        operation = self.find(exchange)
        if operation is None:
            return Checked(UNKNOWN, [f"no operation {exchange.method} {exchange.path}"])
        problems = [
            *self.check_query(operation, exchange),
            *self.check_request(operation, exchange),
            *self.check_response(operation, exchange),
        ]
        return Checked(operation.name, problems)

    def find(self, exchange: Exchange) -> Operation | None:
        """The described path with the most literal text wins, as GitHub's own routes do."""
        fitting = [
            operation
            for operation in self.operations.get(exchange.method, [])
            if operation.pattern.fullmatch(exchange.raw_path)
        ]
        return max(fitting, key=lambda operation: operation.literal_length, default=None)

    def check_query(self, operation: Operation, exchange: Exchange) -> Iterator[str]:
        sent = exchange.query
        for name, text in sent:
            parameter = operation.query.get(name)
            if parameter is None:
                yield f"query parameter {name} is not described"
                continue
            schema = self.resolve(parameter["schema"])
            yield from self.violations(schema, typed(text, schema), f"query parameter {name}")
        names = {name for name, _ in sent}
        for name, parameter in operation.query.items():
            if parameter.get("required") and name not in names:
                yield f"query parameter {name} is missing"

    def check_request(self, operation: Operation, exchange: Exchange) -> Iterator[str]:
        described = self.resolve(operation.spec.get("requestBody", {}))
        schema = media_schema(described.get("content", {}))
        if exchange.request is None:
            # Whether it was refused for it is the answer's affair.
            if described.get("required") and exchange.status < 400:
                yield "request has no body"
            return
        if schema is None:
            # An empty object says nothing that could be misread.
            if exchange.request != {}:
                yield "request has a body, none is described"
            return
        # Even if it was refused: the bot must not send what the description rules out.
        yield from self.violations(schema, exchange.request, "request")
        yield from self.unknown_fields(schema, exchange.request, "request")

    def check_response(self, operation: Operation, exchange: Exchange) -> Iterator[str]:
        described = operation.spec["responses"].get(str(exchange.status))
        if described is None and exchange.status < 400:
            yield f"status {exchange.status} is not described"
            return
        schema = media_schema(self.resolve(described or {}).get("content", {}))
        if schema is None and exchange.status >= 400 and exchange.response is not None:
            # Errors that can befall any request are left out of most operations, or have no body there.
            schema = {"$ref": "#/components/schemas/basic-error"}
        if schema is None:
            if exchange.response is not None:
                yield f"answer {exchange.status} has a body, none is described"
            return
        if exchange.response is None:
            yield f"answer {exchange.status} has no body"
            return
        yield from self.violations(schema, exchange.response, "answer")

    def violations(self, schema: Json, value: Any, place: str) -> Iterator[str]:
        validator = Draft7Validator(absolute(schema), registry=self.registry)
        for error in validator.iter_errors(value):
            cause = best_match([error]) or error
            where = "".join(f"/{part}" for part in cause.absolute_path)
            yield f"{place}{where}: {short(cause.message)}"

    def unknown_fields(self, schema: Json, value: Any, place: str) -> Iterator[str]:
        """Fields that GitHub would ignore in silence: most likely misspelt."""
        variants = list(self.variants(schema))
        if isinstance(value, dict):
            known: dict[str, Json] = {}
            for variant in variants:
                known |= variant.get("properties", {})
            free = any(isinstance(v.get("additionalProperties"), dict) for v in variants)
            for name, field in value.items():
                if name in known:
                    yield from self.unknown_fields(known[name], field, f"{place}/{name}")
                elif known and not free:
                    yield f"{place}/{name} is not described"
        elif isinstance(value, list):
            items = [v["items"] for v in variants if "items" in v]
            for index, item in enumerate(value):
                for schema_of_item in items[:1]:
                    yield from self.unknown_fields(schema_of_item, item, f"{place}/{index}")

    def variants(self, schema: Json) -> Iterator[Json]:
        """The schema itself and everything it is composed of."""
        schema = self.resolve(schema)
        yield schema
        for keyword in ("allOf", "anyOf", "oneOf"):
            for part in schema.get(keyword, []):
                yield from self.variants(part)

    def resolve(self, node: Json) -> Json:
        while "$ref" in node:
            found: Any = self.document
            for part in node["$ref"].removeprefix("#/").split("/"):
                found = found[part.replace("~1", "/").replace("~0", "~")]
            node = found
        return node


def media_schema(content: Json) -> Json | None:
    media = content.get(JSON_TYPE)
    return None if media is None else media.get("schema", {})


def absolute(schema: Any) -> Any:
    """The schema with its references leading into the description from anywhere."""
    if isinstance(schema, dict):
        return {
            key: ROOT + value if key == "$ref" and isinstance(value, str) else absolute(value)
            for key, value in schema.items()
        }
    if isinstance(schema, list):
        return [absolute(item) for item in schema]
    return schema


def json_schema(node: Any) -> Any:
    """OpenAPI 3.0's `nullable` in the words of JSON Schema; the rest is alike enough."""
    if isinstance(node, list):
        return [json_schema(item) for item in node]
    if not isinstance(node, dict):
        return node
    out = {key: json_schema(value) for key, value in node.items()}
    # A property that is called `nullable` has a schema there, not a boolean.
    if out.get("nullable") is not True:
        return out
    del out["nullable"]
    return {"anyOf": [{"type": "null"}, out]}


def typed(text: str, schema: Json) -> Any:
    """A query parameter as the type that its description gives it."""
    kind = schema.get("type")
    if kind == "integer" and re.fullmatch(r"-?\d+", text):
        return int(text)
    if kind == "boolean" and text in ("true", "false"):
        return text == "true"
    if kind == "array":
        return text.split(",")
    return text

"""Payloads of webhooks against the schemas that GitHub's own libraries are made from."""

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from jsonschema import Draft7Validator
from jsonschema.exceptions import ValidationError, best_match
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT7

from traffic import Checked, Webhook, short

ROOT = "urn:webhooks"


# Fields that GitHub sends and its OpenAPI description has, but that no schema here knows:
# the schemas are no longer kept up. `a/b` is the field `b` of a field `a` only.
NEWER = {
    "user_view_type": "of `webhooks_user` and `simple-user` in the OpenAPI description",
    "has_pull_requests": "of `repository-webhooks` in the OpenAPI description",
    "network_count": "of `repository-webhooks` in the OpenAPI description",
    "subscribers_count": "of `repository-webhooks` in the OpenAPI description",
    "client_id": "of `integration` in the OpenAPI description",
    "installations_count": "of `integration` in the OpenAPI description",
    "review/updated_at": "of `webhooks_review` in the OpenAPI description",
}


class Webhooks:
    """The schemas, ready to be asked."""

    def __init__(self, schemas: Path) -> None:
        document = json.loads(schemas.read_text(encoding="utf-8"))
        self.definitions: dict[str, Any] = document["definitions"]
        resource: Resource[Any] = DRAFT7.create_resource(document)
        self.registry: Registry[Any] = Registry().with_resource(ROOT, resource)

    def check(self, webhook: Webhook) -> Checked:
        action = webhook.payload.get("action", "event")
        name = f"{webhook.event}${action}"
        if name not in self.definitions:
            return Checked(name, [f"no webhook {name}"])
        schema = {"$ref": f"{ROOT}#/definitions/{name}"}
        validator = Draft7Validator(schema, registry=self.registry)
        errors = validator.iter_errors(without(NEWER, webhook.payload))
        return Checked(name, [describe(error) for error in errors])


def without(fields: Collection[str], value: Any, parent: str = "") -> Any:
    if isinstance(value, dict):
        return {
            name: without(fields, field, name)
            for name, field in value.items()
            if name not in fields and f"{parent}/{name}" not in fields
        }
    if isinstance(value, list):
        return [without(fields, item, parent) for item in value]
    return value


def describe(error: ValidationError) -> str:
    cause = best_match([error]) or error
    where = "".join(f"/{part}" for part in cause.absolute_path)
    return f"{where}: {short(cause.message)}"

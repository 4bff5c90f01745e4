"""Blueprints for routes that take JSON: a body that cannot be read is refused, and is no mistake of ours."""

from json import JSONDecodeError
from typing import Any

import flask_smorest
from flask import Request
from marshmallow import Schema
from webargs.flaskparser import FlaskParser

from chassis.errors import Malformed


class JsonParser(FlaskParser):
    """webargs' reader, which knows what is no JSON, but not what Python's reader of JSON gives up on."""

    def load_json(self, req: Request, schema: Schema) -> Any:
        """The body of a request. Raises Malformed for one that nobody can have meant."""
        try:
            return super().load_json(req, schema)
        except JSONDecodeError:
            raise
        except (RecursionError, ValueError):
            rule = "Nested too deeply, or holds a number of thousands of digits."
            raise Malformed(f"body: {rule}", errors=[{"field": "body", "message": rule}]) from None


class Blueprint(flask_smorest.Blueprint):  # type: ignore[misc]
    """flask-smorest's, with this reader."""

    ARGUMENTS_PARSER = JsonParser()

    def arguments(self, schema: Schema | type[Schema], **options: Any) -> Any:
        """What a route takes. A schema is made once: webargs would make it, and all of its fields, for each request."""
        return super().arguments(schema() if isinstance(schema, type) else schema, **options)

"""Blueprints for routes that take JSON."""

from typing import Any

import flask_smorest
from flask import Request
from marshmallow import Schema, missing
from webargs.flaskparser import FlaskParser

from chassis.bodies import read_body


class BodyParser(FlaskParser):
    """webargs' reader, for bodies that anybody may have sent."""

    def load_json(self, req: Request, schema: Schema) -> Any:
        """The body of a request; nothing where it has none. Raises Malformed, Invalid."""
        body = req.get_data()
        return read_body(body, schema) if body else missing


class Blueprint(flask_smorest.Blueprint):  # type: ignore[misc]
    """flask-smorest's, with this reader."""

    ARGUMENTS_PARSER = BodyParser()

    def arguments(self, schema: Schema | type[Schema], **options: Any) -> Any:
        """What a route takes. A schema is made once: webargs would make it, and all of its fields, for each request."""
        return super().arguments(schema() if isinstance(schema, type) else schema, **options)

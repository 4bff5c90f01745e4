"""The page at ``/docs``: Swagger UI on the app's OpenAPI document.

It needs nothing from outside, and has not a line of script or style in it: both are files of ours, in ``page/``.
"""

from pathlib import Path
from string import Template

import flask_swagger_ui
from flask import Flask, Response, send_from_directory
from werkzeug.exceptions import NotFound

#: Swagger UI itself.
DISTRIBUTION = Path(flask_swagger_ui.__file__).parent / "dist"
OURS = Path(__file__).parent / "page"
#: What the page may ask for, and where it is.
FILES = {"page.js": OURS, "page.css": OURS} | dict.fromkeys(
    ("swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png"), DISTRIBUTION
)
#: The browser runs and asks nothing else. Swagger UI writes styles into the page, and has its pictures in its style.
POLICY = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'"
#: The app's own script, which fills the document's examples in from what there is (config ``DOCS_EXAMPLES``, a path).
EXAMPLES = "examples.js"


def add_page(app: Flask) -> None:
    """Answer ``/docs`` with the page; its title is the app's ``API_TITLE``."""
    page = Template((OURS / "page.html").read_text())

    def docs() -> Response:
        own = app.config.get("DOCS_EXAMPLES")
        script = f'  <script src="/docs/{EXAMPLES}"></script>' if own else ""
        text = page.substitute(title=app.config["API_TITLE"], script=script)
        return Response(text, mimetype="text/html", headers={"Content-Security-Policy": POLICY})

    def docs_file(name: str) -> Response:
        own = app.config.get("DOCS_EXAMPLES")
        if own and name == EXAMPLES:
            return send_from_directory(own.parent, own.name)
        if name not in FILES:
            raise NotFound
        return send_from_directory(FILES[name], name)

    app.add_url_rule("/docs", "docs", docs)
    app.add_url_rule("/docs/", "docs_slash", docs)
    app.add_url_rule("/docs/<name>", "docs_file", docs_file)

#!/usr/bin/env bash
# apispec 6.10.1 with marshmallow 4.4.0; Node (its RegExp is the dialect that OpenAPI 3.1 means). Needs node.
#
# Guessed: a pattern that the document shows means to its readers what it means to the service.
# Seen:    apispec copies Python's pattern as it is. `\Z`, Python's end of the text, is to JavaScript the letter Z: a validator
#          refuses every value that does not end in Z, and with the flag u, which validators use, the pattern does not compile.
#          `(?![\s\S])` means the end of the text in both.
# So:      every pattern in our documents is compiled in Node with the flag u by a test, and tried there on the same values.
set -euo pipefail
command -v node >/dev/null || { echo "needs node" >&2; exit 2; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --quiet --disable-pip-version-check install apispec==6.10.1 marshmallow==4.4.0
cat >"$folder/expected" <<'EXPECTED'
python takes MUG-1: true true
document says: ^\S+\Z ^\S+(?![\s\S])
node, no flag: false true
node, flag u: SyntaxError true
EXPECTED
cat >"$folder/run.py" <<'PY'
import json
from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from marshmallow import Schema, fields, validate

class Product(Schema):
    python = fields.String(validate=validate.Regexp(r"^\S+\Z"))
    both = fields.String(validate=validate.Regexp(r"^\S+(?![\s\S])"))

spec = APISpec("t", "1", "3.1.0", plugins=[MarshmallowPlugin()])
spec.components.schema("Product", schema=Product)
properties = spec.to_dict()["components"]["schemas"]["Product"]["properties"]
taken = [not Product().validate({name: "MUG-1"}) for name in ("python", "both")]
print(json.dumps({"taken": taken, "patterns": [properties[name]["pattern"] for name in ("python", "both")]}))
PY
cat >"$folder/run.js" <<'JS'
const { taken, patterns } = JSON.parse(require('fs').readFileSync(0, 'utf8'));
const tried = (flag) => patterns.map((pattern) => {
  try { return new RegExp(pattern, flag).test('MUG-1'); } catch (error) { return error.name; }
});
console.log('python takes MUG-1:', ...taken);
console.log('document says:', ...patterns);
console.log('node, no flag:', ...tried(''));
console.log('node, flag u:', ...tried('u'));
JS
"$folder/venv/bin/python" "$folder/run.py" | node "$folder/run.js" >"$folder/seen"
diff "$folder/expected" "$folder/seen" && echo "as seen before: $(basename "$0")"

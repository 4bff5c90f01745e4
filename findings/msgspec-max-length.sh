#!/usr/bin/env bash
# msgspec 0.22.0.
#
# Guessed: Meta(max_length=2) ends the decoding of a JSON list at its third element.
# Seen:    the whole list is decoded first, and its length is looked at then. A fault in an element behind the limit is reported before
#          the length is, and a list that is far too long costs what a list of its length costs.
# So:      how much a body may hold is counted over its bytes before anything is made of it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --quiet --disable-pip-version-check install msgspec==0.22.0
cat >"$folder/expected" <<'EXPECTED'
[1, 2, 3]: Expected `array` of length <= 2
[1, 2, 3, 4, 5, 6, "x"]: Expected `int`, got `str` - at `$[6]`
EXPECTED
cat >"$folder/run.py" <<'PY'
from typing import Annotated
import msgspec

decoder = msgspec.json.Decoder(Annotated[list[int], msgspec.Meta(max_length=2)])
for text in ("[1, 2, 3]", '[1, 2, 3, 4, 5, 6, "x"]'):
    try:
        print(text, decoder.decode(text))
    except msgspec.ValidationError as error:
        print(f"{text}: {error}")
PY
"$folder/venv/bin/python" "$folder/run.py" >"$folder/seen"
diff "$folder/expected" "$folder/seen" && echo "as seen before: $(basename "$0")"

#!/usr/bin/env bash
# marshmallow 4.4.0.
#
# Guessed: Integer and Decimal take what JSON calls a number, in text; Decimal(places=2) refuses a third place.
# Seen:    both go through Python's own int() and Decimal(): underscores, blanks around, digits of other alphabets and exponents are taken;
#          places=2 rounds, half to even, so that a price of 0.005 is accepted and stored as 0.00.
# So:      one grammar of our own for every number that comes from outside, before marshmallow sees it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --quiet --disable-pip-version-check install marshmallow==4.4.0
cat >"$folder/expected" <<'EXPECTED'
Integer 1_000 -> 1000
Integer ' 5 ' -> 5
Integer full-width 12 -> 12
Decimal 1e2 -> 100.00
Decimal 1_000 -> 1000.00
Decimal 0.005 -> 0.00
Decimal 0.015 -> 0.02
EXPECTED
cat >"$folder/run.py" <<'PY'
from marshmallow import fields

whole, money = fields.Integer(), fields.Decimal(places=2)
print("Integer 1_000 ->", whole.deserialize("1_000"))
print("Integer ' 5 ' ->", whole.deserialize(" 5 "))
print("Integer full-width 12 ->", whole.deserialize("\uff11\uff12"))
for text in ("1e2", "1_000", "0.005", "0.015"):
    print("Decimal", text, "->", format(money.deserialize(text), "f"))
PY
"$folder/venv/bin/python" "$folder/run.py" >"$folder/seen"
diff "$folder/expected" "$folder/seen" && echo "as seen before: $(basename "$0")"

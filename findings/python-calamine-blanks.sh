#!/usr/bin/env bash
# python-calamine 0.9.1, with openpyxl 3.1.5 as the writer and the other reader.
#
# Guessed: a reader of workbooks tells a cell without a value from one whose value is an error, and a whole number from another.
# Seen:    #N/A and a formula that nobody has calculated are the same empty text as a blank cell; each number is a float.
# So:      xlsx is read by openpyxl, ods out of its XML: a blank order number means "the order above", and #N/A does not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --quiet --disable-pip-version-check install python-calamine==0.9.1 openpyxl==3.1.5
cat >"$folder/expected" <<'EXPECTED'
calamine ['MUG', '', '', '', 4006381333931.0]
openpyxl ('MUG', None, '#N/A', None, 4006381333931)
EXPECTED
cat >"$folder/run.py" <<'PY'
import sys

from openpyxl import Workbook, load_workbook
from python_calamine import CalamineWorkbook

path = sys.argv[1]
book = Workbook()
book.active.append(["MUG", None, "#N/A", "=A1&1", 4006381333931])
book.save(path)
print("calamine", CalamineWorkbook.from_path(path).get_sheet_by_index(0).to_python()[0])
print("openpyxl", next(load_workbook(path, read_only=True, data_only=True).active.iter_rows(values_only=True)))
PY
"$folder/venv/bin/python" "$folder/run.py" "$folder/book.xlsx" >"$folder/seen"
diff "$folder/expected" "$folder/seen" && echo "as seen before: $(basename "$0")"

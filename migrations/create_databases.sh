#!/bin/sh
# Three databases and three roles; each role owns one database and can connect to no other.
#
# The postgres image runs this once, on a new volume. Run again, it only sets the passwords anew. It connects as psql
# does: PGHOST, PGPASSWORD and their kind, and POSTGRES_USER (postgres where it is not set), who may create roles.
# The passwords come from SALES_DATABASE_PASSWORD, INVENTORY_DATABASE_PASSWORD and DELIVERY_DATABASE_PASSWORD.
set -eu

create() { # ROLE DATABASE PASSWORD
    psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username "${POSTGRES_USER:-postgres}" --dbname postgres \
        --set role="$1" --set database="$2" --set password="$3" <<'SQL'
SELECT format('CREATE ROLE %I LOGIN', :'role')
    WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'role') \gexec
ALTER ROLE :"role" PASSWORD :'password';
SELECT format('CREATE DATABASE %I OWNER %I', :'database', :'role')
    WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'database') \gexec
REVOKE CONNECT, TEMPORARY ON DATABASE :"database" FROM PUBLIC;
REVOKE CONNECT ON DATABASE postgres FROM PUBLIC;
REVOKE CONNECT ON DATABASE template1 FROM PUBLIC;
SQL
}

create sales ecommerce_db "${SALES_DATABASE_PASSWORD:?is not set}"
create inventory inventory_db "${INVENTORY_DATABASE_PASSWORD:?is not set}"
create delivery delivery_db "${DELIVERY_DATABASE_PASSWORD:?is not set}"

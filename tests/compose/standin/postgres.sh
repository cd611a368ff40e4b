#!/bin/sh
# What the official image's entry point does with our settings, on Debian's PostgreSQL.
set -eu
export PATH="/usr/lib/postgresql/$(ls /usr/lib/postgresql)/bin:$PATH" PGDATA=/var/lib/postgresql/data/cluster
as_postgres() { setpriv --reuid=postgres --regid=postgres --init-groups "$@"; }
mkdir -p "$PGDATA"
chown -R postgres:postgres "$PGDATA" /var/run/postgresql
chmod 700 "$PGDATA"
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  # The official image opens itself only when all is there: so does this one.
  as_postgres initdb --username="$POSTGRES_USER" --pwfile="$POSTGRES_PASSWORD_FILE" --auth=scram-sha-256 --auth-local=trust >&2
  printf 'host all all all scram-sha-256\n' >>"$PGDATA/pg_hba.conf"
  as_postgres pg_ctl -w start -o "-c listen_addresses=''" >&2
  for file in /docker-entrypoint-initdb.d/*.sql; do as_postgres psql -v ON_ERROR_STOP=1 -U "$POSTGRES_USER" -d postgres -f "$file" >&2; done
  as_postgres createdb -U "$POSTGRES_USER" "$POSTGRES_USER" >&2 || true
  as_postgres pg_ctl -w -m fast stop >&2
fi
exec setpriv --reuid=postgres --regid=postgres --init-groups "$@" -c 'listen_addresses=*'

#!/bin/sh
# Creates roles and databases. The Postgres image runs this once, on an empty volume. Two roles, neither a superuser, so that
# Temporal cannot read message content.
set -eu
export SECRETS="${SECRETS:-/run/secrets}"

psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username postgres --dbname postgres <<'SQL'
\set tocsin `cat "$SECRETS/tocsin_password"`
\set temporal `cat "$SECRETS/temporal_password"`
CREATE ROLE tocsin LOGIN PASSWORD :'tocsin';
CREATE ROLE temporal LOGIN PASSWORD :'temporal';
CREATE DATABASE tocsin OWNER tocsin;
CREATE DATABASE temporal OWNER temporal;
CREATE DATABASE temporal_visibility OWNER temporal;
REVOKE CONNECT ON DATABASE postgres, tocsin, temporal, temporal_visibility FROM PUBLIC;
SQL

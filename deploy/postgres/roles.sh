#!/bin/sh
# Roles and databases; Postgres' image runs this once, on an empty volume. Two roles, so that Temporal cannot read
# what people are sent, and neither is a superuser.
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

#!/bin/sh
# Migrates Temporal's two databases to the schema of this image's version; runs once before each start of the server.
# Both steps change nothing on a database that is up to date.
set -eu
SQL_PASSWORD=$(cat "${SECRETS:-/run/secrets}/temporal_password")
export SQL_PASSWORD SQL_PLUGIN=postgres12 SQL_HOST="${SQL_HOST:-postgres}" SQL_PORT="${SQL_PORT:-5432}" SQL_USER=temporal

for pair in temporal:temporal temporal_visibility:visibility; do
  export SQL_DATABASE="${pair%:*}"
  temporal-sql-tool setup-schema -v 0.0
  temporal-sql-tool update-schema -d "${SCHEMA:-/etc/temporal/schema}/postgresql/v12/${pair#*:}/versioned"
done

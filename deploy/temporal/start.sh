#!/bin/sh
# Starts the Temporal server of the image; its password comes from a file, which the image itself cannot read.
set -eu
POSTGRES_PWD=$(cat /run/secrets/temporal_password)
export POSTGRES_PWD
exec /etc/temporal/entrypoint.sh

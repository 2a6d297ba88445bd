#!/bin/sh
# Starts the Temporal server of the image. Reads the password from a file, which the image's entry point cannot do.
set -eu
POSTGRES_PWD=$(cat /run/secrets/temporal_password)
export POSTGRES_PWD
exec /etc/temporal/entrypoint.sh

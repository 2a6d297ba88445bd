#!/bin/sh
# Creates Tocsin's namespace, or sets its retention if it exists; runs once after each start of the server.
# TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE and RETENTION come from docker-compose.yml.
set -eu
tries=0
until temporal operator cluster health --command-timeout 5s >/dev/null 2>&1; do
  tries=$((tries + 1))
  [ "$tries" -lt 60 ] || { echo "Temporal did not become healthy" >&2; exit 1; }
  sleep 2
done
temporal operator namespace update --namespace "$TEMPORAL_NAMESPACE" --retention "$RETENTION" >/dev/null 2>&1 ||
  temporal operator namespace create --namespace "$TEMPORAL_NAMESPACE" --retention "$RETENTION"

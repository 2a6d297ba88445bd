#!/bin/sh
# Creates the files that `docker compose up` needs and git must not contain: secrets in deploy/secrets/ and settings in
# deploy/server.env. Idempotent: existing files do not change.
set -eu
cd "$(dirname "$0")"

# Other users of the machine cannot open the directory. The files in it are readable, because each container reads them
# as its own user.
umask 022
mkdir -p secrets/providers
chmod 700 secrets
chmod 755 secrets/providers
# The users of the containers cannot read a clone that was made with a restrictive umask.
for part in postgres temporal caddy prometheus grafana; do [ ! -d "$part" ] || chmod -R a+rX "$part"; done

random() { head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \n'; }

# Write to a temporary file first: a full disk must not leave an empty secret.
keep() {
  [ -s "secrets/$1" ] || { printf %s "$2" > "secrets/$1.new" && mv "secrets/$1.new" "secrets/$1"; }
}

keep secret_key "$(random)"
keep encryption_keys "k1:$(random)"
keep lookup_key "$(random)"
keep postgres_password "$(random)"
keep tocsin_password "$(random)"
keep temporal_password "$(random)"
keep grafana_password "$(random)"
keep database_url "postgresql+asyncpg://tocsin:$(cat secrets/tocsin_password)@postgres:5432/tocsin"
[ -e server.env ] || cp server.env.example server.env

echo "Ready: secrets in $(pwd)/secrets, settings in $(pwd)/server.env. Keep a copy of both in a safe place."

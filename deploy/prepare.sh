#!/bin/sh
# Makes what `docker compose up` needs and git must not hold: secrets in deploy/secrets/ and your settings in
# deploy/server.env. Run it as often as you like: what is there stays as it is.
set -eu
cd "$(dirname "$0")"

# The directory is closed to other users of the machine. The files in it are open, because each container reads them
# as a user of its own.
umask 022
mkdir -p secrets/providers
chmod 700 secrets
chmod 755 secrets/providers
# A clone that was made under a narrow umask cannot be read by the users of the containers.
for part in postgres temporal caddy prometheus grafana; do [ ! -d "$part" ] || chmod -R a+rX "$part"; done

random() { head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \n'; }

# Written beside its place first: a full disk must not leave an empty secret behind.
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

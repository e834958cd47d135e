#!/bin/sh
# Initialise OpenBao once and unseal it at each start. Keys beside the data are for a developer's machine only.
set -eu

keys=${KEYS_DIR:-/keys}
umask 077

# Exit codes of `bao status`: 0 unsealed, 2 sealed, 1 no answer.
status() {
    code=0
    bao status >/dev/null 2>&1 || code=$?
}

tries=60
status
while [ "$code" -eq 1 ] && [ "$tries" -gt 0 ]; do
    sleep 1
    tries=$((tries - 1))
    status
done

# `bao operator init -status`: 0 initialised, 2 not.
if ! bao operator init -status >/dev/null 2>&1; then
    bao operator init -key-shares=1 -key-threshold=1 >"$keys/init.txt"
    sed -n 's/^Unseal Key 1: //p' "$keys/init.txt" >"$keys/unseal-key"
    sed -n 's/^Initial Root Token: //p' "$keys/init.txt" | tr -d '\n' >"$keys/root-token"
    # The bootstrap container reads it as another user; no other container mounts this volume.
    chmod 755 "$keys"
    chmod 644 "$keys/root-token"
    rm "$keys/init.txt"
fi

status
if [ "$code" -eq 2 ]; then
    bao operator unseal "$(cat "$keys/unseal-key")" >/dev/null
fi
# The node is active only when it has elected itself.
tries=30
until bao token lookup -format=json >/dev/null 2>&1 || [ "$tries" -eq 0 ]; do
    BAO_TOKEN=$(cat "$keys/root-token")
    export BAO_TOKEN
    sleep 1
    tries=$((tries - 1))
done
[ "$tries" -gt 0 ] || { echo 'OpenBao did not become active.' >&2; exit 1; }
echo 'OpenBao is unsealed.'

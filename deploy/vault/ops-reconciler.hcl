# manage.py reconcile_credentials: find and remove what no operator names, without seeing a password.

# Vault lists "ops/operators" under its name with a slash at the end.
path "secret/metadata/ops/operators/" {
  capabilities = ["list"]
}

path "secret/metadata/ops/operators/+/credentials" {
  capabilities = ["read", "delete"]
}

path "secret/delete/ops/operators/+/credentials" {
  capabilities = ["update"]
}

path "secret/undelete/ops/operators/+/credentials" {
  capabilities = ["update"]
}

path "secret/destroy/ops/operators/+/credentials" {
  capabilities = ["update"]
}

# Its own token: how long it lives, and renewing it. Vault's "default" policy grants that too, with more that nobody
# here needs, and as a template it is parsed anew for every request.
path "auth/token/lookup-self" {
  capabilities = ["read"]
}

path "auth/token/renew-self" {
  capabilities = ["update"]
}

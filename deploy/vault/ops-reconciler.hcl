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

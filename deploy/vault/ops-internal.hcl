# Internal API: read a password, and no other secret.

path "secret/data/ops/operators/+/credentials" {
  capabilities = ["read"]
}

# Its own token: how long it lives, and renewing it. Vault's "default" policy grants that too, with more that nobody
# here needs, and as a template it is parsed anew for every request.
path "auth/token/lookup-self" {
  capabilities = ["read"]
}

path "auth/token/renew-self" {
  capabilities = ["update"]
}

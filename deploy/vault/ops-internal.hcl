# Internal API: read a password, and nothing else.

path "secret/data/ops/operators/+/credentials" {
  capabilities = ["read"]
}

# Console and admin API: write a password and see which versions there are, never read one.
# The engine's name is replaced when VAULT_MOUNT is not "secret"; "+" stands for one segment, the operator's id.

path "secret/data/ops/operators/+/credentials" {
  capabilities = ["create", "update"]
}

# Versions, and the labels by which a lost answer is recognised.
path "secret/metadata/ops/operators/+/credentials" {
  capabilities = ["read", "create", "update"]
}

# A deleted operator's versions are soft-deleted; a restored one's are brought back.
path "secret/delete/ops/operators/+/credentials" {
  capabilities = ["update"]
}

path "secret/undelete/ops/operators/+/credentials" {
  capabilities = ["update"]
}

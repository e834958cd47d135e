# Every login: look its own token up and renew it, also while its role's policy is away, which is how the two are told
# apart. Vault's "default" policy grants that with much that nobody here needs, and as a template it is parsed anew for
# every request.

path "auth/token/lookup-self" {
  capabilities = ["read"]
}

path "auth/token/renew-self" {
  capabilities = ["update"]
}

# OpenBao for deploy/compose.yml: plain HTTP inside the compose network. Production has TLS, several nodes and auto-unseal.
storage "raft" {
  path    = "/openbao/file"
  node_id = "compose"

  # The only node would otherwise wait 5 to 10 s for others before it elects itself.
  performance_multiplier = 1
}

listener "tcp" {
  address         = "0.0.0.0:8200"
  cluster_address = "127.0.0.1:8201"
  tls_disable     = true
}

api_addr     = "http://openbao:8200"
cluster_addr = "http://127.0.0.1:8201"
ui           = false

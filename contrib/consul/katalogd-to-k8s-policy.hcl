# What katalogd --to-k8s needs of Consul: to see every service and every node.
# With less it deletes nothing in Kubernetes (rule 5), and says so.
service_prefix "" {
  policy = "read"
}
node_prefix "" {
  policy = "read"
}

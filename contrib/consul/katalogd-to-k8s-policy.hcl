# What the token of katalogd --to-k8s must be allowed: to see every service and
# every node. What a token may not see could be there, so with less nothing is
# deleted in Kubernetes, and a message says so.
#
#   consul acl policy create -name katalogd-to-k8s \
#       -rules @katalogd-to-k8s-policy.hcl

service_prefix "" {
  policy = "read"
}

node_prefix "" {
  policy = "read"
}

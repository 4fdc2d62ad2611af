# What katalogd's token on each node must be allowed, and nothing else:
# to register, update and deregister services and their checks at the local
# agent, and to read them back (write includes read); and, for sidecars and
# readiness gates, to see its node in the catalog.
#
#   consul acl policy create -name katalogd -rules @katalogd-policy.hcl
#   consul acl token create -description "katalogd of NODE" -policy-name katalogd
#
# The names come from the pods' service-names annotations. Where all of them
# share a prefix, or are few, name them in place of "":
#
#   service_prefix "shop-" { policy = "write" }
#   service "checkout"     { policy = "write" }

service_prefix "" {
  policy = "write"
}

# Leave this out where there are neither sidecars nor readiness gates. With a
# token for each node, name that one in place of "": node "NODE".
node_prefix "" {
  policy = "read"
}

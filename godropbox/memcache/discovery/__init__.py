"""Where a fleet comes from: a file, DNS, ElastiCache, ZooKeeper, etcd, Consul."""

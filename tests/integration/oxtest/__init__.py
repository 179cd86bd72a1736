"""What the integration tests share: processes, a registry, the mirror, clients, and upstreams that misbehave on purpose."""

"""The store adapters: the only place that imports a Qdrant library."""

"""The product: profiles, sparse vectors, ranking, evaluation, pure."""

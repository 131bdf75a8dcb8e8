"""Numbers in, numbers out: models and their evaluation, genes, clusters, components."""

"""Two products, or a product and its record: the same, or how different."""

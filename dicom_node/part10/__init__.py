"""The files this node writes: their head, and the digest that names them."""

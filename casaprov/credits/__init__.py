"""Credits of a crate: its people, institutes and licences, and the sources that name them."""

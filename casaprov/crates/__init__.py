"""The RO-Crate: what goes in, its description, and what is checked."""

"""Where text comes from: corpora by name, the hub, one's own files."""

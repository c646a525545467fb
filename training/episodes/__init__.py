"""What a loss is computed on: an episode's memory, its tensors, and negatives from other memories."""

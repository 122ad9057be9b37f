"""Many image files through one model: found, read ahead, predicted, written behind, and done once only."""

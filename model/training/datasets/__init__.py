"""Pictures and labels in, batches out."""

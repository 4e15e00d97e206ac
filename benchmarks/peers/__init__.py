"""The same work in clean PyTorch, at its best; nothing here uses zerohero."""

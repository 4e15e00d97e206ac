"""The same operations, faster: one folder for each engine. Importing an engine's package registers its kernels."""

"""The vector indexes: exact and approximate search on FAISS, with stable ids."""

"""The terminal chat. Nothing here imports torch, transformers or faiss: a thread opens the session later."""

"""Prompts: texts, documents and chats with their players, as characters and as tokens."""

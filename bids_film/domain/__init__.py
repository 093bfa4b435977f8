"""The nouns that every room speaks of; imports nothing of ours."""

"""OpenAI's Conversations API over the store."""

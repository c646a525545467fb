"""The chat behind OpenAI's interface: what is read of a request, one turn at a time, the web application."""

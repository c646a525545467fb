"""Facts told to the real chat in some sessions and asked for in others."""

"""What the screens do between the widgets and the session: each controller is held by the screen it works for."""

"""What the screens do between the widgets and the session; draws nothing."""

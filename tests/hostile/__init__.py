"""Hostile tries, counted: kills, flipped bits, hostile files, full disks, signals, requests. ``make test-hostile``."""

"""Helpers that know nothing of sets: message texts, locks that survive forks, foreign numbers."""

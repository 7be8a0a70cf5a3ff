"""What knows no sets: words for messages, locks that survive forks, numbers of foreign types."""

"""The service: its timetable, its life, and what it tells of itself."""

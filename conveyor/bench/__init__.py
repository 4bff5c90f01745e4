"""``conveyor bench``: how fast Conveyor is, with every guarantee on, and whether the answers were right."""

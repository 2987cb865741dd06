"""The servers between which everything is measured, each in a process of its own."""

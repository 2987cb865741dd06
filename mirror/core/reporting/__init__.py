"""What people and scripts are told of a pass."""

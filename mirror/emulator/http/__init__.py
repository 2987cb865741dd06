"""HTTP around the routes: authentication, limits, headers, errors, bodies, and scripted faults."""

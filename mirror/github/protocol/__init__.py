"""What GitHub's REST API says over HTTP, as functions of bytes and headers: no socket, no clock."""

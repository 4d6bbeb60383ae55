"""Live people: frames of one moment out of several streams, and people sent to other programs."""

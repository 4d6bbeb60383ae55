"""Images: colours of persons, overlays, the contact sheet and learning curves."""
